//! `#[elapsed]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned;
use syn::{Error, ImplItemFn, Path, Result, Stmt, parse_quote};

use crate::attribute;
use crate::function::beside;

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let runtime = match runtime(attribute) {
        Ok(runtime) => runtime,
        Err(error) => return beside(item, Err(error)),
    };
    // An associated function parses like a free one, and may besides be `default`.
    let mut function = match syn::parse2::<ImplItemFn>(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            return beside(
                item,
                Err(Error::new(
                    Span::call_site(),
                    "only a function takes time: put `#[elapsed]` on one with a body",
                )),
            );
        }
    };
    if let Some(token) = &function.sig.constness {
        let error = Error::new(
            token.span(),
            "a `const fn` has no clock: leave out `const`, or time its caller",
        );
        return beside(item, Err(error));
    }
    let name = function.sig.ident.to_string();
    let guard = format_ident!("_elapsed", span = Span::mixed_site());
    // A statement among the others, and no braces around them: those would be linted as superfluous, and so would be items
    // behind a statement.
    let stmts = &mut function.block.stmts;
    let first = stmts.iter().position(|stmt| !matches!(stmt, Stmt::Item(_))).unwrap_or(stmts.len());
    stmts.insert(first, parse_quote!(let #guard = #runtime::Elapsed::start(#name);));
    function.into_token_stream()
}

/// The attribute takes nothing but `crate = path`.
fn runtime(tokens: TokenStream) -> Result<TokenStream> {
    let mut runtime = attribute::runtime();
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("`#[elapsed]` has no settings but `crate = path`"));
        }
        let path = meta.value()?.call(Path::parse_mod_style)?;
        runtime = quote::quote!(#path::__private);
        Ok(())
    });
    syn::parse::Parser::parse2(parser, tokens)?;
    Ok(runtime)
}
