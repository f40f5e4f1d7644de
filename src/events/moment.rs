//! Dates and times as Connect writes them.

/// A date, and what is known of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// 1 to 9999.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Where there is more than a date.
    pub time: Option<Time>,
}

/// A time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub microsecond: u32,
    /// From UTC, in minutes; `None` where there is none: then it is UTC's.
    pub offset: Option<i32>,
}

/// Reads `2020-05-21`, `2020-05-21T08:19:37`, with a fraction of a second, and
/// with `Z` or an offset such as `+02:00`. `None` where it is none of these.
pub fn parse(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let number = |from: usize, digits: usize| -> Option<u32> {
        let part = bytes.get(from..from + digits)?;
        part.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    };
    let at = |place: usize, allowed: &[u8]| bytes.get(place).is_some_and(|byte| allowed.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !at(4, b"-") || !at(7, b"-") || year == 0 || day == 0 || day > days {
        return None;
    }
    let (year, month, day) = (year as i32, month as u8, day as u8);
    if bytes.len() == 10 {
        return Some(Moment { year, month, day, time: None });
    }
    if !at(10, b"T t") || !at(13, b":") {
        return None;
    }
    let (hour, minute) = (number(11, 2)?, number(14, 2)?);
    let mut place = 16;
    let (mut second, mut microsecond) = (0, 0);
    if at(16, b":") {
        second = number(17, 2)?;
        place = 19;
        if at(19, b".,") {
            let digits = bytes[20..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let kept = digits.min(6);
            microsecond = number(20, kept)? * 10_u32.pow(6 - kept as u32);
            place = 20 + digits;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match bytes.get(place) {
        None => None,
        Some(b'Z' | b'z') if bytes.len() == place + 1 => Some(0),
        Some(sign @ (b'+' | b'-')) => {
            let hours = number(place + 1, 2)?;
            let colon = usize::from(at(place + 3, b":"));
            let minutes = if bytes.len() == place + 3 { 0 } else { number(place + 3 + colon, 2)? };
            let length = if bytes.len() == place + 3 { place + 3 } else { place + 5 + colon };
            if hours > 23 || minutes > 59 || bytes.len() != length {
                return None;
            }
            let offset = (hours * 60 + minutes) as i32;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        Some(_) => return None,
    };
    let time = Time { hour: hour as u8, minute: minute as u8, second: second as u8, microsecond, offset };
    Some(Moment { year, month, day, time: Some(time) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_connect_writes_is_read() {
        let moment = parse("2020-05-21T08:19:37+00:00").unwrap();
        assert_eq!((moment.year, moment.month, moment.day), (2020, 5, 21));
        let time = moment.time.unwrap();
        assert_eq!((time.hour, time.minute, time.second, time.offset), (8, 19, 37, Some(0)));
        for (text, microsecond, offset) in [
            ("2018-06-04T13:19:10.102670+02:30", 102_670, Some(150)),
            ("2018-06-04T13:19:10.5-0100", 500_000, Some(-60)),
            ("2018-06-04 13:19:10.123456789Z", 123_456, Some(0)),
            ("2018-06-04T13:19", 0, None),
            ("2018-06-04T13:19:10+02", 0, Some(120)),
        ] {
            let time = parse(text).unwrap().time.unwrap();
            assert_eq!((time.microsecond, time.offset), (microsecond, offset), "{text}");
        }
        assert!(parse("2020-02-29").unwrap().time.is_none());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "x",
            "2019-02-29",
            "2020-13-01",
            "2020-00-10",
            "0000-01-01",
            "2020-01-01T",
            "2020-01-01T24:00:00",
            "2020-01-01T00:00:00+",
            "2020-01-01T00:00:00.",
            "2020-01-01T00:00:00Zx",
            "2020-1-1",
            "20200101",
            "2020-01-01T00:00:00+25:00",
            "2020-01-0é",
            "2020-01-01T00:00:60Z",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
