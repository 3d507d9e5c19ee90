//! The progress bar on stderr.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing.
#[derive(Debug, Default)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar when `label` asks for one and stderr is a terminal; `items` is how many there are, when that is known.
    pub(crate) fn new(label: Option<&str>, items: Option<usize>) -> Self {
        let Some(label) = label.filter(|_| stderr().is_terminal()) else { return Self(None) };
        let bar = match items {
            Some(items) => ProgressBar::new(items as u64),
            None => ProgressBar::no_length(),
        };
        Self(Some(bar.with_style(style(items.is_some())).with_message(label.to_owned())))
    }

    /// `count` more items have ended.
    #[inline]
    pub(crate) fn add(&self, count: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(count as u64);
        }
    }
}

fn style(bounded: bool) -> ProgressStyle {
    let template = if bounded {
        "{msg} {wide_bar} {pos}/{len} [{elapsed} left {eta}]"
    } else {
        "{msg} {spinner} {pos} [{elapsed}]"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.abandon();
        }
    }
}

/// What `progress = ..` takes: whether there is a bar, or its label.
pub trait IntoProgress {
    /// The label; `None` for no bar.
    fn into_progress(self) -> Option<String>;
}

impl IntoProgress for bool {
    fn into_progress(self) -> Option<String> {
        self.then(String::new)
    }
}

impl IntoProgress for &str {
    fn into_progress(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl IntoProgress for &String {
    fn into_progress(self) -> Option<String> {
        Some(self.clone())
    }
}

impl IntoProgress for String {
    fn into_progress(self) -> Option<String> {
        Some(self)
    }
}
