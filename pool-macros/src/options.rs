//! What stands behind the `;`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Result, Token};

use crate::forms::{Form, named};

/// The options of one call, each with where it stands.
#[derive(Default)]
pub(crate) struct Options(Vec<(Ident, Expr)>);

const ALL: [&str; 8] = [
    "pool",
    "chunk_size",
    "timeout",
    "retries",
    "window",
    "progress",
    "callback",
    "error_callback",
];

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Vec::<(Ident, Expr)>::new();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            if !ALL.contains(&&*name.to_string()) {
                return Err(Error::new(
                    name.span(),
                    format!("no option of this name: there are `{}`", ALL.join("`, `")),
                ));
            }
            if options.iter().any(|(other, _)| *other == name) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            input.parse::<Token![=]>()?;
            options.push((name, input.parse()?));
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self(options))
    }
}

impl Options {
    /// Refuses what the form has no use for.
    pub(crate) fn check(&self, form: Form) -> Result<()> {
        for (name, _) in &self.0 {
            if form == Form::Task {
                return Err(Error::new(
                    name.span(),
                    "`task!` only notes a call, and whoever runs it has the options",
                ));
            }
            if name == "window" && !form.streams() {
                return Err(Error::new(
                    name.span(),
                    "`window` is for `par_imap!` and `par_imap_unordered!`: nobody else runs ahead of a consumer",
                ));
            }
            if (name == "callback" || name == "error_callback") && !form.is_async() {
                return Err(Error::new(
                    name.span(),
                    format!(
                        "`{name}` is for the `_async` forms: here the result is what the macro gives"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The pool, to be borrowed for the whole statement.
    pub(crate) fn pool(&self) -> Option<&Expr> {
        self.0.iter().find(|(name, _)| name == "pool").map(|(_, pool)| pool)
    }

    /// The calls on `Asked` that say what was asked for.
    pub(crate) fn asked(&self) -> TokenStream {
        let calls = self.0.iter().filter(|(name, _)| !name.to_string().contains("callback")).map(
            |(name, value)| {
                let span = value.span();
                let pool = named("pool", span);
                let value = if name == "pool" { quote!(#pool) } else { quote!(#value) };
                method(name, &value, span)
            },
        );
        quote!(__p::Asked::new() #(#calls)*)
    }

    /// The calls on `Later`: a closure finds its types only when it is given straight to what calls it.
    pub(crate) fn callbacks(&self) -> TokenStream {
        let calls = self.0.iter().filter(|(name, _)| name.to_string().contains("callback"));
        calls.map(|(name, value)| method(name, &quote!(#value), value.span())).collect()
    }
}

fn method(name: &Ident, value: &TokenStream, span: Span) -> TokenStream {
    let span = Span::call_site().located_at(span);
    let name = Ident::new(&name.to_string(), Span::call_site().located_at(name.span()));
    quote_spanned!(span=> .#name(#value))
}
