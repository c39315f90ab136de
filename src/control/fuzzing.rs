//! What must hold for any bytes that are said to the control socket, or that it answers; see
//! `fuzz/`. Not part of the crate's interface.

#![expect(
    clippy::expect_used,
    reason = "this is code for tests, which is to panic where something is wrong"
)]

use std::sync::Arc;

use super::socket::{Answer, Request, answer};
use super::{Control, Rules, Subject, Wishes};
use crate::engine::stream::{Concurrency, Counters, Throttle, ThrottleLimits};
use crate::stop::Stop;

/// Any lines, said one after the other to a run that has no reason to do anything else, are
/// answered in one line each: with what the run is afterwards, or with why nothing was changed. Any
/// bytes, as an answer, are refused or understood.
pub fn control_socket(data: &[u8]) {
    let throttle = Throttle::new(Concurrency::Auto { first: 2, most: 4 }, Concurrency::Fixed(3));
    let control = Control::new(
        Subject::default(),
        Arc::new(Counters::default()),
        Stop::new(),
        throttle,
        Arc::new(Wishes::default()),
    );
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        asked(line);
        let before = state(&control);
        let said = answer(&control, line);
        assert_eq!((said.status.is_some(), said.error.is_some()), (said.ok, !said.ok), "{said:?}");
        if let Some(words) = &said.error {
            assert!(!words.is_empty());
            assert_eq!(state(&control), before, "{words}");
        }
        let written = serde_json::to_vec(&said).expect("an answer can be written");
        assert!(!written.contains(&b'\n'), "an answer is one line");
        let read: Answer = serde_json::from_slice(&written).expect("what is answered can be read");
        assert_eq!(
            (read.ok, read.status.is_some(), read.error),
            (said.ok, said.status.is_some(), said.error)
        );
        let ThrottleLimits { readers, readers_most, inserters, inserters_most, .. } =
            control.limits();
        assert!((1..=readers_most).contains(&readers) && (1..=inserters_most).contains(&inserters));
    }
    answered(data);
}

/// Whatever somebody can change with a line.
fn state(control: &Control) -> (ThrottleLimits, Rules, bool, bool) {
    (control.limits(), control.rules(), control.is_paused(), control.is_stopping())
}

/// A question that is understood means the same when it is written again.
fn asked(line: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(line) else { return };
    let written = serde_json::to_vec(&request).expect("a question can be written");
    assert_eq!(
        serde_json::from_slice::<Request>(&written).expect("what was written can be read"),
        request
    );
}

/// The same of an answer; its numbers may lose their last digit.
fn answered(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Answer>(data) else { return };
    let written = serde_json::to_vec(&answer).expect("an answer can be written");
    let again: Answer = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(
        (again.ok, again.status.is_some(), again.error),
        (answer.ok, answer.status.is_some(), answer.error)
    );
}
