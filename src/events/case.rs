//! Cases of the helpdesk.

use super::common::{ACCOUNT, ACTOR, EVENTS, PRODUCT};
use super::schema::model;

model! {
    /// One side of a case.
    CASE_PARTY = "CaseParty";
    "account": Object(&ACCOUNT), "The account.";
    "agent": Object(&ACTOR), "Who works on it.";
    "recipients": List(&Object(&ACTOR)), "Who else is told of what happens.";
}

model! {
    /// A case of the helpdesk.
    CASE = "Case" (prefix "CA-") [identified];
    "id": Text, "The case's id, as `CA-000-000-000`.";
    "product": Object(&PRODUCT), "The product that it is about.";
    "subject": Text, "What it is about, in short.";
    "description": Text, "What it is about.";
    "priority": Level, "0 low, 1 medium, 2 high, 3 urgent.";
    "state": Text, "`pending`, `inquiring`, `resolved` or `closed`.";
    "type": Text, "`technical` or `business`.";
    "issuer": Object(&CASE_PARTY), "Who opened it.";
    "receiver": Object(&CASE_PARTY), "Who is asked.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "rating": Level, "How it was judged in the end: 1 very poor to 5 very good.";
    "feedback": Text, "What was said of it in the end.";
}
