//! The macros of `pool-runtime`, which re-exports and documents them.
//!
//! Each file parses one thing and writes it out: `function` and `methods` for `#[pool_task]` (with `attribute`, `signature`
//! and `registration` below them), `forms` for `par_map!` and its kin (with `target`, `closure` and `options`), `elapsed`, `managed`.

mod attribute;
mod closure;
mod elapsed;
mod forms;
mod function;
mod managed;
mod methods;
mod options;
mod registration;
mod signature;
mod target;

use proc_macro::TokenStream;

use forms::Form;

#[expect(
    missing_docs,
    reason = "documented where pool-runtime re-exports it, so that its examples run"
)]
#[proc_macro_attribute]
pub fn pool_task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(attribute.into(), item.into()).into()
}

#[expect(
    missing_docs,
    reason = "documented where pool-runtime re-exports it, so that its examples run"
)]
#[proc_macro_attribute]
pub fn elapsed(attribute: TokenStream, item: TokenStream) -> TokenStream {
    elapsed::expand(attribute.into(), item.into()).into()
}

#[expect(
    missing_docs,
    reason = "documented where pool-runtime re-exports it, so that its examples run"
)]
#[proc_macro_attribute]
pub fn managed(attribute: TokenStream, item: TokenStream) -> TokenStream {
    managed::expand(attribute.into(), item.into()).into()
}

macro_rules! forms {
    ($($name:ident $form:ident;)*) => {$(
        #[expect(missing_docs, reason = "documented where pool-runtime re-exports it, so that its examples run")]
        #[proc_macro]
        pub fn $name(input: TokenStream) -> TokenStream {
            forms::expand(Form::$form, input.into()).into()
        }
    )*};
}

forms! {
    par_map Map;
    par_starmap Starmap;
    par_apply Apply;
    par_imap Imap;
    par_imap_unordered ImapUnordered;
    par_map_async MapAsync;
    par_starmap_async StarmapAsync;
    par_apply_async ApplyAsync;
    task Task;
}
