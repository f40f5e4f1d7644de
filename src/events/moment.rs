//! Dates and times as Connect writes them.

use speedate::{Date, DateTime, MicrosecondsPrecisionOverflowBehavior, TimeConfig};

/// A date, or a date and a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// A date alone.
    Date(Date),
    /// A date and a time. Without an offset, the time is UTC.
    DateTime(DateTime),
}

/// Parses a date or a date and time in ISO 8601 format, such as `2020-05-21` or
/// `2020-05-21T08:19:37.25+00:00`. Digits after the microseconds are ignored. Returns `None` for any
/// other text, and for the year 0, which Python's `datetime` cannot represent.
pub fn parse(text: &str) -> Option<Moment> {
    const DATE_LENGTH: usize = 10;
    let bytes = text.as_bytes();
    let moment = if bytes.len() == DATE_LENGTH {
        Moment::Date(Date::parse_bytes_rfc3339(bytes).ok()?)
    } else {
        let config = TimeConfig {
            microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
            ..TimeConfig::default()
        };
        Moment::DateTime(DateTime::parse_bytes_rfc3339_with_config(bytes, &config).ok()?)
    };
    let (Moment::Date(date) | Moment::DateTime(DateTime { date, .. })) = &moment;
    (date.year > 0).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_parsed() {
        let date_time = |text: &str| match parse(text) {
            Some(Moment::DateTime(found)) => found,
            other => unreachable!("{text}: {other:?}"),
        };
        let DateTime { date, time } = date_time("2020-05-21T08:19:37+00:00");
        assert_eq!((date.year, date.month, date.day), (2020, 5, 21));
        assert_eq!((time.hour, time.minute, time.second, time.tz_offset), (8, 19, 37, Some(0)));
        for (text, microsecond, offset) in [
            ("2018-06-04T13:19:10.102670+02:30", 102_670, Some(150)),
            ("2018-06-04T13:19:10.5-0100", 500_000, Some(-60)),
            ("2018-06-04 13:19:10.123456789Z", 123_456, Some(0)),
            ("2018-06-04T13:19", 0, None),
        ] {
            let time = date_time(text).time;
            assert_eq!((time.microsecond, time.tz_offset), (microsecond, offset.map(|minutes| minutes * 60)), "{text}");
        }
        assert!(matches!(parse("2020-02-29"), Some(Moment::Date(_))));
    }

    #[test]
    fn other_text_is_rejected() {
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
            "2020-01-01T00:00:00+02",
            "2020-01-0é",
            "2020-01-01T00:00:60Z",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
