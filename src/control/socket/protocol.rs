//! Questions and answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::{Control, Setting};

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// How is it?
    Status {},
    /// Begin no new chunk.
    Pause {},
    /// Take the pause back.
    Resume {},
    /// Change a setting.
    Set {
        /// Which.
        name: String,
        /// To what, as text.
        value: String,
    },
    /// End as at the first signal.
    Stop {},
}

/// What is answered: everything there is to say of the run, or why nothing was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// The run afterwards; see [`Status`](crate::control::Status).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Value>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Answer {
    pub(super) fn refusal(error: impl Into<String>) -> Self {
        Self { ok: false, status: None, error: Some(error.into()) }
    }
}

/// Does what a line asks for.
pub(in crate::control) fn answer(control: &Control, line: &[u8]) -> Answer {
    let request = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request,
        Err(error) => {
            return Answer::refusal(format!(
                "this is no request ({error}); send a line such as {{\"command\":\"status\"}}"
            ));
        }
    };
    let done = match request {
        Request::Status {} => Ok(()),
        Request::Pause {} => {
            control.pause();
            Ok(())
        }
        Request::Resume {} => {
            control.resume();
            Ok(())
        }
        Request::Set { name, value } => {
            Setting::parse(&name, &value).and_then(|setting| control.set(setting))
        }
        Request::Stop {} => {
            control.stop();
            Ok(())
        }
    };
    match done.map(|()| serde_json::to_value(control.status())) {
        Ok(Ok(status)) => Answer { ok: true, status: Some(status), error: None },
        Ok(Err(error)) => Answer::refusal(error.to_string()),
        Err(error) => Answer::refusal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::{Subject, Wishes};
    use crate::engine::stream::{Concurrency, Counters, Throttle};
    use crate::stop::Stop;

    fn control() -> Arc<Control> {
        let throttle = Throttle::new(Concurrency::Fixed(2), Concurrency::Fixed(3));
        Control::new(
            Subject::default(),
            Arc::new(Counters::default()),
            Stop::new(),
            throttle,
            Arc::new(Wishes::default()),
        )
    }

    #[test]
    fn what_is_asked_is_done() {
        let control = control();
        let ask = |line: &str| answer(&control, line.as_bytes());
        assert!(ask(r#"{"command":"status"}"#).ok);
        assert_eq!(ask(r#"{"command":"pause"}"#).status.unwrap()["paused"], true);
        assert_eq!(ask(r#"{"command":"resume"}"#).status.unwrap()["paused"], false);
        let status = ask(r#"{"command":"set","name":"inserters","value":"5"}"#).status.unwrap();
        assert_eq!(status["limits"]["inserters"], 5);
        let refusal = ask(r#"{"command":"set","name":"inserters","value":"65"}"#);
        assert_eq!(
            (refusal.ok, refusal.error.as_deref()),
            (false, Some("inserters must be 1 to 64, and 65 was asked for"))
        );
        assert_eq!(ask(r#"{"command":"stop"}"#).status.unwrap()["stopping"], true);
        assert!(control.is_stopping());
    }

    #[test]
    fn what_is_no_request_is_refused_and_changes_nothing() {
        let control = control();
        for line in [
            "",
            "{}",
            "null",
            "stop",
            "{\"command\":\"stop\"",
            "{\"command\":\"Stop\"}",
            "{\"command\":\"stop\",\"now\":true}",
            "{\"command\":\"set\"}",
            "{\"command\":\"set\",\"name\":\"inserters\",\"value\":4}",
            "[{\"command\":\"stop\"}]",
            "\u{0}",
        ] {
            let refusal = answer(&control, line.as_bytes());
            assert!(
                !refusal.ok && refusal.error.unwrap().starts_with("this is no request"),
                "{line:?}"
            );
        }
        assert!(!answer(&control, b"\xff\xfe").ok);
        assert!(!control.is_stopping() && control.limits().inserters == 3);
    }
}
