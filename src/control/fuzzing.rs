//! What must hold for any bytes that are sent to the control socket, or that it sends; see `fuzz/`.
//! Not part of the crate's interface.

#![expect(
    clippy::expect_used,
    reason = "this is code for tests, which is to panic where something is wrong"
)]

use std::sync::Arc;

use super::protocol::{ControlRequest, ControlResponse, respond};
use super::{Control, Rules, RuntimeOverrides, Subject};
use crate::engine::stream::{Concurrency, Counters, Throttle, ThrottleLimits};
use crate::stop::Stop;

/// Each of any lines gets a response of one line: with the state of the run, or with the reason why
/// nothing was changed. Any bytes, as a response, are refused or understood.
pub fn control_socket(data: &[u8]) {
    let throttle = Throttle::new(Concurrency::Auto { first: 2, most: 4 }, Concurrency::Fixed(3));
    let control = Control::new(
        Subject::default(),
        Arc::new(Counters::default()),
        Stop::new(),
        throttle,
        Arc::new(RuntimeOverrides::default()),
    );
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        asked(line);
        let before = state(&control);
        let said = respond(&control, line);
        assert_eq!((said.status.is_some(), said.error.is_some()), (said.ok, !said.ok), "{said:?}");
        if let Some(words) = &said.error {
            assert!(!words.is_empty());
            assert_eq!(state(&control), before, "{words}");
        }
        let written = said.to_line().expect("a response can be written");
        let line = written.strip_suffix(b"\n").expect("a response ends its line");
        assert!(!line.contains(&b'\n'), "a response is one line");
        let read: ControlResponse =
            serde_json::from_slice(&written).expect("a response can be read");
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

/// All that a line can change.
fn state(control: &Control) -> (ThrottleLimits, Rules, bool, bool) {
    (control.limits(), control.rules(), control.is_paused(), control.is_stopping())
}

/// A request that is understood means the same when it is written again.
fn asked(line: &[u8]) {
    let Ok(request) = ControlRequest::parse(line) else { return };
    let written = request.to_line().expect("a request can be written");
    assert_eq!(ControlRequest::parse(&written).expect("what was written can be read"), request);
    let unversioned = request.to_unversioned_line().expect("a request can be written");
    assert_eq!(ControlRequest::parse(&unversioned).expect("so can this"), request);
}

/// The same for a response. Its numbers may lose their last digit.
fn answered(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<ControlResponse>(data) else { return };
    let written = answer.to_line().expect("a response can be written");
    let again: ControlResponse =
        serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(
        (again.ok, again.status.is_some(), again.error),
        (answer.ok, answer.status.is_some(), answer.error)
    );
}
