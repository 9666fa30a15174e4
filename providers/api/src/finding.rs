//! What `doctor` says of a thing that it looked at.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How well a thing is that `doctor` looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and may not for long.
    Warning,
    /// Something does not work because of it.
    Bad,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How well it is.
    pub health: Health,
    /// What was looked at, such as `credentials` or `quota`.
    pub subject: String,
    /// What was seen, one fragment.
    pub text: String,
    /// What to run or do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn good(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { health: Health::Good, subject: subject.into(), text: text.into(), remedy: None }
    }

    /// Something that may not work for long.
    pub fn warning(subject: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Warning, subject: subject.into(), text: text.into(), remedy: Some(remedy.into()) }
    }

    /// Something that could not be had, and so does not work: the error with its causes, its hint as the remedy.
    pub fn failed(subject: impl Into<String>, error: &Error) -> Self {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        Self { health: Health::Bad, subject: subject.into(), text, remedy: error.hint_text().map(str::to_owned) }
    }

    /// Something that does not work.
    pub fn bad(subject: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Bad, subject: subject.into(), text: text.into(), remedy: Some(remedy.into()) }
    }
}
