//! The protocol of the control socket: one JSON object per line, a request and a response.
//!
//! ```text
//! {"format_version":2,"command":"status"}                              {"ok":true,"status":{…},"format_version":2}
//! {"format_version":2,"command":"set","name":"inserters","value":"4"}  {"ok":false,"error":"inserters must be 1 to 64, and 99 was asked for","format_version":2}
//! ```
//!
//! Version 0.1 of the program sends no `format_version`, and refuses requests with one. Its requests
//! and responses have the same fields otherwise, so both are understood.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Control;
use super::settings::Setting;

/// The version of the protocol. Messages without a version are of version 1.
pub(super) const FORMAT_VERSION: u64 = 2;

/// A request to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ControlRequest {
    /// Reports the state of the run.
    Status {},
    /// Begins no new chunk.
    Pause {},
    /// Takes a pause back.
    Resume {},
    /// Changes a setting.
    Set {
        /// The name of the setting.
        name: String,
        /// Its new value, as text.
        value: String,
    },
    /// Stops the run as the first signal does.
    Stop {},
}

/// A line that is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// It is not understood.
    #[error("this is no request ({0}); send a line such as {{\"command\":\"status\"}}")]
    Malformed(#[from] serde_json::Error),
    /// It is of another version.
    #[error(
        "the request is of version {0} of the control protocol, and this run understands versions 1 and {FORMAT_VERSION}: use the `ctl` of the release that runs"
    )]
    Version(Value),
}

impl ControlRequest {
    /// Reads a line.
    ///
    /// # Errors
    /// [`RequestError`].
    pub(crate) fn parse(line: &[u8]) -> Result<Self, RequestError> {
        let mut message: Value = serde_json::from_slice(line)?;
        let version = message.as_object_mut().and_then(|fields| fields.remove("format_version"));
        match version {
            None => {}
            Some(version) if matches!(version.as_u64(), Some(1..=FORMAT_VERSION)) => {}
            Some(version) => return Err(RequestError::Version(version)),
        }
        Ok(serde_json::from_value(message)?)
    }

    /// The request as a line, with the version.
    ///
    /// # Errors
    /// Those of the serializer.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut message = serde_json::to_value(self)?;
        if let Some(fields) = message.as_object_mut() {
            fields.insert("format_version".to_owned(), FORMAT_VERSION.into());
        }
        line(&message)
    }

    /// The request as version 0.1 of the program understands it.
    pub(super) fn to_unversioned_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        line(self)
    }
}

/// The response of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ControlResponse {
    /// Whether the request was carried out.
    pub ok: bool,
    /// The run afterwards; see [`RunStatus`](super::RunStatus).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Value>,
    /// Why the request was not carried out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The version of the protocol; `None` from version 0.1 of the program.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_version: Option<u64>,
}

impl ControlResponse {
    fn new(status: Result<Value, String>) -> Self {
        let (ok, format_version) = (status.is_ok(), Some(FORMAT_VERSION));
        let error = status.as_ref().err().cloned();
        Self { format_version, ok, status: status.ok(), error }
    }

    pub(super) fn refusal(error: impl Into<String>) -> Self {
        Self::new(Err(error.into()))
    }

    /// The response as a line.
    ///
    /// # Errors
    /// Those of the serializer.
    pub(crate) fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        line(self)
    }
}

fn line(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Carries out the request of a line.
pub(super) fn respond(control: &Control, line: &[u8]) -> ControlResponse {
    let done = match ControlRequest::parse(line) {
        Ok(request) => carry_out(control, request),
        Err(error) => Err(error.to_string()),
    };
    let status = done
        .and_then(|()| serde_json::to_value(control.status()).map_err(|error| error.to_string()));
    ControlResponse::new(status)
}

fn carry_out(control: &Control, request: ControlRequest) -> Result<(), String> {
    match request {
        ControlRequest::Status {} => {}
        ControlRequest::Pause {} => control.pause(),
        ControlRequest::Resume {} => control.resume(),
        ControlRequest::Set { name, value } => Setting::parse(&name, &value)
            .and_then(|setting| control.set(setting))
            .map_err(|error| error.to_string())?,
        ControlRequest::Stop {} => control.stop(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::{RuntimeOverrides, Subject};
    use crate::engine::stream::{Concurrency, Counters, Throttle};
    use crate::stop::Stop;

    fn control() -> Arc<Control> {
        let throttle = Throttle::new(Concurrency::Fixed(2), Concurrency::Fixed(3));
        Control::new(
            Subject::default(),
            Arc::new(Counters::default()),
            Stop::new(),
            throttle,
            Arc::new(RuntimeOverrides::default()),
        )
    }

    #[test]
    fn what_is_asked_is_done() {
        let control = control();
        let ask = |line: &str| respond(&control, line.as_bytes());
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
            let refusal = respond(&control, line.as_bytes());
            assert!(
                !refusal.ok && refusal.error.unwrap().starts_with("this is no request"),
                "{line:?}"
            );
        }
        assert!(!respond(&control, b"\xff\xfe").ok);
        assert!(!control.is_stopping() && control.limits().inserters == 3);
    }

    #[test]
    fn requests_of_this_version_and_of_0_1_are_understood_and_others_are_refused() {
        let pause = ControlRequest::Pause {};
        let written = pause.to_line().unwrap();
        assert_eq!(written, b"{\"command\":\"pause\",\"format_version\":2}\n");
        let of_0_1 = b"{\"command\":\"pause\"}\n";
        assert_eq!(pause.to_unversioned_line().unwrap(), of_0_1);
        for line in [&written[..], of_0_1, b"{\"format_version\":1,\"command\":\"pause\"}"] {
            assert_eq!(ControlRequest::parse(line).unwrap(), pause);
        }
        let control = control();
        for version in ["0", "3", "\"2\"", "2.5", "null"] {
            let line = format!("{{\"format_version\":{version},\"command\":\"stop\"}}");
            let refusal = respond(&control, line.as_bytes());
            let words = refusal.error.unwrap();
            assert!(
                words.starts_with(&format!("the request is of version {version} ")),
                "{version}: {words}"
            );
        }
        assert!(!control.is_stopping());
        assert_eq!(respond(&control, of_0_1).format_version, Some(FORMAT_VERSION));
    }

    #[test]
    fn a_response_of_0_1_is_understood() {
        let of_0_1 = r#"{"ok":true,"status":{"paused":true}}"#;
        let read: ControlResponse = serde_json::from_str(of_0_1).unwrap();
        assert_eq!((read.format_version, read.ok), (None, true));
        assert_eq!(read.status.unwrap()["paused"], true);
    }
}
