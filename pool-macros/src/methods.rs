//! `#[pool_task]` on an impl block: each marked method becomes a task, whose first parameter is `self`.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute as SynAttribute, Error, FnArg, ImplItem, ImplItemFn, ItemImpl, ReceiverKind, Result,
    Type,
};

use crate::attribute::Attribute;
use crate::function::{beside, cfgs, refuse_retries};
use crate::registration::Registration;
use crate::signature::{Refused, Shape};

pub(crate) fn expand(attribute: Result<Attribute>, mut block: ItemImpl) -> TokenStream {
    let marks = take_marks(&mut block);
    let tasks = attribute.and_then(|attribute| {
        attribute.only_crate(Span::call_site())?;
        refuse_block(&block)?;
        tasks(&attribute, &mut block, &marks)
    });
    beside(block.into_token_stream(), tasks)
}

/// The marks of the methods, by position. They are taken away, so that they are not expanded once more.
fn take_marks(block: &mut ItemImpl) -> Vec<(usize, SynAttribute)> {
    let mut marks = Vec::new();
    for (at, item) in block.items.iter_mut().enumerate() {
        let ImplItem::Fn(method) = item else { continue };
        if let Some(mark) = method.attrs.iter().position(is_mark) {
            marks.push((at, method.attrs.remove(mark)));
        }
    }
    marks
}

fn is_mark(attribute: &SynAttribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "pool_task")
}

fn refuse_block(block: &ItemImpl) -> Result<()> {
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(
            path.span(),
            "a method of a trait cannot be a task: write it in a plain `impl` block, and call it from the trait's",
        ));
    }
    if let Some(param) = block.generics.params.first() {
        return Err(Error::new(
            param.span(),
            "a task cannot be generic: write an `impl` block for each concrete type",
        ));
    }
    if let Some(clause) = &block.generics.where_clause {
        return Err(Error::new(
            clause.span(),
            "a task cannot be generic: write the block without a `where` clause",
        ));
    }
    Ok(())
}

fn tasks(
    block_attribute: &Attribute,
    block: &mut ItemImpl,
    marks: &[(usize, SynAttribute)],
) -> Result<TokenStream> {
    let this = (*block.self_ty).clone();
    let mut refused = Refused::default();
    if marks.is_empty() {
        refused.add(
            block.impl_token.span(),
            "no method of this block is marked: put `#[pool_task]` on those that are to be tasks",
        );
    }
    let (mut outside, mut inside) = (TokenStream::new(), Vec::new());
    for (at, mark) in marks {
        let ImplItem::Fn(method) = &block.items[*at] else { continue };
        match task(block_attribute, &this, method, mark) {
            Ok((beside, hidden)) => {
                outside.extend(beside);
                inside.push(hidden);
            }
            Err(error) => refused.combine(error),
        }
    }
    block.items.extend(inside);
    refused.done(outside)
}

/// What one method adds: items beside the block, and a hidden method in it that binds `self`.
fn task(
    block: &Attribute,
    this: &Type,
    method: &ImplItemFn,
    mark: &SynAttribute,
) -> Result<(TokenStream, ImplItem)> {
    let mut attribute = match &mark.meta {
        syn::Meta::List(list) => Attribute::parse(list.tokens.clone())?,
        _ => Attribute::default(),
    };
    attribute.inherit(block);
    let shape = shape(this, method)?;
    refuse_retries(&attribute, &shape)?;
    let (name, vis, cfgs) = (&method.sig.ident, &method.vis, cfgs(&method.attrs));
    let plain = name.unraw();
    let marker = format_ident!("__PoolTask_{}_{plain}", letters(this), span = Span::mixed_site());
    let marker = proc_macro2::Ident::new(&marker.to_string(), Span::call_site());
    let registration = Registration {
        attribute: &attribute,
        cfgs: &cfgs,
        marker: quote!(#marker<#this>),
        name: format!("{}::{plain}", type_name(this)),
        shape: &shape,
        this: Some(this.to_token_stream()),
        callee: quote!(<#this>::#name),
        place: name.span(),
    };
    let (registration, runtime) = (registration.write(), attribute.runtime());
    let hidden = format_ident!("__pool_task_{plain}", span = Span::call_site());
    let beside = quote! {
        #(#cfgs)*
        #[doc(hidden)]
        pub struct #marker<S>(::core::marker::PhantomData<S>);
        #registration
    };
    let hidden = syn::parse_quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis fn #hidden(&self) -> #runtime::Bound<#marker<#this>> {
            #runtime::Bound::to(self)
        }
    };
    Ok((beside, hidden))
}

fn shape(this: &Type, method: &ImplItemFn) -> Result<Shape> {
    let mut refused = Refused::default();
    refused.head(&method.sig);
    match method.sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => {}
            _ => refused.add(receiver.span(), "a task borrows its object, which many calls share: take `&self`, and return what changed"),
        },
        _ => {
            let message = "a task in a block is a method: take `&self`, or write a function outside of the block";
            refused.add(method.sig.ident.span(), message);
        }
    }
    let mut named = method.sig.clone();
    named.inputs =
        named.inputs.into_iter().filter(|input| matches!(input, FnArg::Typed(_))).collect();
    let sig = syn::parse2(without_self(named.to_token_stream(), this))?;
    let sig: &syn::Signature = &sig;
    let params = sig.inputs.iter().filter_map(|input| refused.input(input)).collect();
    let output = refused.output(&sig.output);
    refused.done(Shape { params, output })
}

/// `Self` is unknown beside the block, so the type takes its place.
pub(crate) fn without_self(tokens: TokenStream, this: &Type) -> TokenStream {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) if ident == "Self" => this.to_token_stream(),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_self(group.stream(), this));
                inner.set_span(group.span());
                TokenTree::Group(inner).into_token_stream()
            }
            other => other.into_token_stream(),
        })
        .collect()
}

/// The type as people write it.
pub(crate) fn type_name(this: &Type) -> String {
    this.to_token_stream().to_string().replace(' ', "")
}

/// The type as part of a name.
fn letters(this: &Type) -> String {
    type_name(this).chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}
