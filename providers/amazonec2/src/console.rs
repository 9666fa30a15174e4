//! What an instance has written to its console.
//!
//! docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html: 64 KiB at most, in base64; the latest of it
//! for types on Nitro, for others that of shortly after the last start or reboot.

use aws_sdk_ec2::operation::get_console_output::GetConsoleOutputOutput;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmachine_provider_api::{Console, InstanceId, Result};
use time::OffsetDateTime;

use crate::{client::Aws, errors::Failure};

/// Bytes that are read of it, the last ones: EC2 keeps 64 KiB.
const MOST: usize = 64 << 10;
/// How EC2 refuses the latest output of types that have none.
const NO_LATEST: [&str; 2] = ["UnsupportedOperation", "InvalidParameterCombination"];

/// The newest output of the console of `id`; `None` before there is any.
pub(crate) async fn output(aws: &Aws, id: &InstanceId) -> Result<Option<Console>> {
    let answer = match ask(aws, id, true).await {
        Err(failure) if failure.is(&NO_LATEST) => ask(aws, id, false).await,
        answer => answer,
    };
    let answer = answer.map_err(|e| e.error("read the console's output"))?;
    let Some(text) = answer.output().and_then(decoded).filter(|text| !text.is_empty()) else { return Ok(None) };
    let read = answer.timestamp().and_then(|at| OffsetDateTime::from_unix_timestamp(at.secs()).ok());
    Ok(Some(Console { text, read }))
}

async fn ask(aws: &Aws, id: &InstanceId, latest: bool) -> std::result::Result<GetConsoleOutputOutput, Failure> {
    aws.call("GetConsoleOutput", |ec2| {
        ec2.get_console_output().instance_id(id.as_str()).set_latest(latest.then_some(true)).send()
    })
    .await
}

/// The text of an answer. What is no base64 is none.
fn decoded(output: &str) -> Option<String> {
    let bytes = STANDARD.decode(output.split_ascii_whitespace().collect::<String>()).ok()?;
    let from = bytes.len().saturating_sub(MOST);
    Some(String::from_utf8_lossy(&bytes[from..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_and_what_is_no_text_is_none() {
        assert_eq!(decoded("aGVs\nbG8="), Some("hello".to_owned()));
        assert_eq!(decoded("%%%"), None);
        let long = decoded(&STANDARD.encode(format!("{}end", "x".repeat(MOST)))).unwrap();
        assert!(long.len() == MOST && long.ends_with("end"));
        assert!(decoded(&STANDARD.encode([0xff, b'a'])).unwrap().ends_with('a'));
    }
}
