//! `#[pool_task]` on a function; on an impl block it goes on to `methods`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Error, Item, ItemFn, Result};

use crate::attribute::Attribute;
use crate::methods;
use crate::registration::Registration;
use crate::signature::Shape;

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let attribute = Attribute::parse(attribute);
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(function)) => {
            let task = attribute.and_then(|attribute| task(&attribute, &function));
            beside(function.into_token_stream(), task)
        }
        Ok(Item::Impl(block)) => methods::expand(attribute, block),
        Ok(_) => beside(
            item,
            Err(Error::new(
                Span::call_site(),
                "only a function, or an impl block with methods, can hold tasks",
            )),
        ),
        Err(error) => beside(item, Err(error)),
    }
}

/// The item stays whatever happens, so that what uses it still compiles.
pub(crate) fn beside(mut item: TokenStream, more: Result<TokenStream>) -> TokenStream {
    item.extend(more.unwrap_or_else(Error::into_compile_error));
    item
}

fn task(attribute: &Attribute, function: &ItemFn) -> Result<TokenStream> {
    let shape = Shape::of_function(&function.sig)?;
    refuse_retries(attribute, &shape)?;
    let name = &function.sig.ident;
    let mut marker = name.clone();
    // The place of the user's name without its origin: no lint on the naming of types looks at it.
    marker.set_span(Span::call_site().located_at(name.span()));
    let (vis, cfgs) = (&function.vis, cfgs(&function.attrs));
    let registration = Registration {
        attribute,
        cfgs: &cfgs,
        marker: marker.to_token_stream(),
        name: name.unraw().to_string(),
        shape: &shape,
        this: None,
        callee: name.to_token_stream(),
        place: name.span(),
    };
    let registration = registration.write();
    Ok(quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis enum #marker {}
        #registration
    })
}

/// The attributes that decide whether an item is there.
pub(crate) fn cfgs(attrs: &[syn::Attribute]) -> Vec<syn::Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect()
}

/// A task that writes in place cannot be tried again.
pub(crate) fn refuse_retries(attribute: &Attribute, shape: &Shape) -> Result<()> {
    match &attribute.retries {
        Some(retries) if shape.writes_in_place() && retries.base10_parse::<u32>()? > 0 => {
            Err(Error::new(
                retries.span(),
                "a task with a `&mut` parameter cannot be retried: it would see what the dead attempt left; leave out `retries`",
            ))
        }
        _ => Ok(()),
    }
}
