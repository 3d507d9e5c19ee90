//! What stands in the parentheses of `#[pool_task(..)]`.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Error, LitInt, LitStr, Path, Result};

/// The settings of one task.
#[derive(Default)]
pub(crate) struct Attribute {
    pub(crate) name: Option<LitStr>,
    pub(crate) retries: Option<LitInt>,
    pub(crate) timeout: Option<Duration>,
    krate: Option<Path>,
}

impl Attribute {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut attribute = Self::default();
        syn::meta::parser(|meta| attribute.setting(&meta)).parse2(tokens)?;
        Ok(attribute)
    }

    fn setting(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            put(&mut self.name, meta, non_empty(meta.value()?.parse()?)?)
        } else if meta.path.is_ident("retries") {
            put(&mut self.retries, meta, retries(meta.value()?)?)
        } else if meta.path.is_ident("timeout") {
            put(&mut self.timeout, meta, timeout(meta.value()?)?)
        } else if meta.path.is_ident("crate") {
            put(&mut self.krate, meta, meta.value()?.call(Path::parse_mod_style)?)
        } else {
            Err(meta.error("not a setting of a task: write `name = \"..\"`, `retries = N`, `timeout = \"5s\"` or `crate = path`"))
        }
    }

    /// The path that generated code begins with.
    pub(crate) fn runtime(&self) -> TokenStream {
        self.krate.as_ref().map_or_else(runtime, |krate| quote!(#krate::__private))
    }

    /// The `crate = path` of an impl block holds for its methods too.
    pub(crate) fn inherit(&mut self, block: &Self) {
        if self.krate.is_none() {
            self.krate.clone_from(&block.krate);
        }
    }

    /// Refuses what makes no sense for a whole impl block.
    pub(crate) fn only_crate(&self, span: Span) -> Result<()> {
        if self.name.is_some() || self.retries.is_some() || self.timeout.is_some() {
            return Err(Error::new(span, "settings belong to one task: write them on the method"));
        }
        Ok(())
    }
}

/// The path that generated code begins with, unless something else is asked for.
pub(crate) fn runtime() -> TokenStream {
    quote!(::pool_runtime::__private)
}

fn put<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(meta.error("this setting is given twice"));
    }
    Ok(())
}

fn non_empty(name: LitStr) -> Result<LitStr> {
    if name.value().is_empty() {
        Err(Error::new(name.span(), "a name has at least one letter"))
    } else {
        Ok(name)
    }
}

fn retries(value: ParseStream<'_>) -> Result<LitInt> {
    let no_number =
        |span| Error::new(span, "not a number of retries: write how many, as in `retries = 2`");
    let number: LitInt = value.parse().map_err(|error| no_number(error.span()))?;
    number.base10_parse::<u32>().map_err(|_| no_number(number.span()))?;
    Ok(number)
}

fn timeout(value: ParseStream<'_>) -> Result<Duration> {
    duration(&value.parse().map_err(|error: Error| no_duration(error.span()))?)
}

/// Parses `"1.5s"`, `"200ms"`, `"2m"`.
fn duration(text: &LitStr) -> Result<Duration> {
    let value = text.value();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match &value[digits.len()..] {
        "h" => 3600.0,
        "m" | "min" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        _ => return Err(no_duration(text.span())),
    };
    let number: f64 = digits.trim_end().parse().map_err(|_| no_duration(text.span()))?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| no_duration(text.span()))
}

fn no_duration(span: Span) -> Error {
    Error::new(
        span,
        "not a duration above zero: write a number and a unit, as in \"5s\", \"200ms\", \"1.5m\" or \"1h\"",
    )
}
