//! Whether a task's result is a failure, and what that says: for initializers, whose `Err` is an error of the pool.
//!
//! Chosen by how many references are in front, for the concrete type, where the task is defined: an error that can be
//! displayed, else one that can be debugged, else any error, else no error at all.

use std::fmt::{Debug, Display};

/// A result that is looked at.
#[derive(Debug)]
pub struct Outcome<'a, T>(pub &'a T);

/// An error with words for people.
pub trait OutcomeDisplay {
    /// What the failure says, if it is one.
    fn failure(&self) -> Option<String>;
}

/// An error with words for programmers.
pub trait OutcomeDebug {
    /// What the failure says, if it is one.
    fn failure(&self) -> Option<String>;
}

/// An error without words.
pub trait OutcomeResult {
    /// What the failure says, if it is one.
    fn failure(&self) -> Option<String>;
}

/// No result that can fail.
pub trait OutcomeOther {
    /// Nothing.
    fn failure(&self) -> Option<String>;
}

impl<T, E: Display> OutcomeDisplay for &&&Outcome<'_, Result<T, E>> {
    fn failure(&self) -> Option<String> {
        self.0.as_ref().err().map(ToString::to_string)
    }
}

impl<T, E: Debug> OutcomeDebug for &&Outcome<'_, Result<T, E>> {
    fn failure(&self) -> Option<String> {
        self.0.as_ref().err().map(|error| format!("{error:?}"))
    }
}

impl<T, E> OutcomeResult for &Outcome<'_, Result<T, E>> {
    fn failure(&self) -> Option<String> {
        self.0.as_ref().err().map(|_| "it returned an `Err`".to_owned())
    }
}

impl<T> OutcomeOther for Outcome<'_, T> {
    fn failure(&self) -> Option<String> {
        None
    }
}

/// What a result of a concrete type says when it is a failure.
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome {
    ($output:expr) => {{
        use $crate::__private::verdict::*;
        (&&&&Outcome($output)).failure()
    }};
}
