//! `#[managed]` on an impl block: its `pub` methods run in a manager's server, on the one object that all proxies share.
//!
//! Beside the block stands a `__PoolMethods` type with a method for each, which a `Proxy` derefs to: so there is nothing to import.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, ImplItem, ImplItemFn, Item, ItemImpl, ReceiverKind, Result, Type, Visibility,
};

use crate::attribute::Attribute;
use crate::function::{beside, cfgs};
use crate::methods::{type_name, without_self};
use crate::signature::{Kind, Refused, Shape};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let attribute = Attribute::parse(attribute);
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Impl(block)) => {
            let more = attribute.and_then(|attribute| class(&attribute, &block));
            beside(item, more.map_err(in_our_words))
        }
        _ => beside(
            item,
            Err(Error::new(
                Span::call_site(),
                "`#[managed]` stands on an impl block: its `pub` methods are what a proxy has",
            )),
        ),
    }
}

/// The refusals of tasks hold for managed methods too.
fn in_our_words(error: Error) -> Error {
    let mut all = error.into_iter().map(|error| {
        let text = error
            .to_string()
            .replace("a task", "a managed method")
            .replace("one task for each type", "one method for each type")
            .replace("the worker has", "its thread has")
            .replace("what a worker is given", "what a method is given");
        Error::new(error.span(), text)
    });
    let first = all.next();
    let combined = first.map(|first| {
        all.fold(first, |mut combined, error| {
            combined.combine(error);
            combined
        })
    });
    combined.unwrap_or_else(|| Error::new(Span::call_site(), "refused"))
}

fn refuse_block(block: &ItemImpl) -> Result<()> {
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(
            path.span(),
            "the methods of a trait are not exposed: write them in a plain `impl` block, and call the trait's from there",
        ));
    }
    if let Some(param) = block.generics.params.first() {
        return Err(Error::new(
            param.span(),
            "a managed type cannot be generic: write an `impl` block for one concrete type",
        ));
    }
    if let Some(clause) = &block.generics.where_clause {
        return Err(Error::new(
            clause.span(),
            "a managed type cannot be generic: write the block without a `where` clause",
        ));
    }
    Ok(())
}

/// One exposed method.
struct Exposed<'a> {
    method: &'a ImplItemFn,
    shape: Shape,
}

fn class(attribute: &Attribute, block: &ItemImpl) -> Result<TokenStream> {
    attribute.only_crate(Span::call_site())?;
    refuse_block(block)?;
    let exposed = exposed(block)?;
    let (this, runtime) = (&*block.self_ty, attribute.runtime());
    let name = type_name(this);
    let proxies = exposed.iter().map(Exposed::proxy);
    let calls = exposed.iter().map(|exposed| exposed.call(this));
    let checks = exposed.iter().flat_map(|exposed| exposed.shape.types()).map(|ty| {
        let span = Span::call_site().located_at(ty.span());
        quote_spanned!(span=> __p::sendable::<#ty, __p::Verdict<{ __p::level_of!(#ty) }>>();)
    });
    let span = Span::call_site().located_at(this.span());
    let check_this = quote_spanned!(span=> __p::managed_type::<#this>(););
    let place = quote_spanned!(span=> (::core::file!(), ::core::line!(), ::core::column!()));
    Ok(quote! {
        const _: () = {
            use #runtime as __p;

            #[doc(hidden)]
            pub struct __PoolMethods(__p::ManagedHandle);

            impl __p::ManagedMethods for __PoolMethods {
                fn of(handle: __p::ManagedHandle) -> Self {
                    Self(handle)
                }

                fn handle(&self) -> &__p::ManagedHandle {
                    &self.0
                }
            }

            impl __PoolMethods {
                #(#proxies)*
            }

            impl __p::Managed for #this {
                type Methods = __PoolMethods;
                const DEF: __p::ManagedDef = __p::ManagedDef {
                    name: ::core::concat!(::core::module_path!(), "::", #name),
                    place: #place,
                    open: __p::managed_open::<#this>,
                    methods: &[#(#calls),*],
                };
            }

            __p::inventory::submit! { <#this as __p::Managed>::DEF }

            const _: fn() = || { #check_this #(#checks)* };
        };
    })
}

fn exposed(block: &ItemImpl) -> Result<Vec<Exposed<'_>>> {
    let mut refused = Refused::default();
    let mut all = Vec::new();
    for item in &block.items {
        let ImplItem::Fn(method) = item else { continue };
        if !matches!(method.vis, Visibility::Public(_)) || !borrows_self(method) {
            continue;
        }
        match shape(&block.self_ty, method) {
            Ok(shape) => all.push(Exposed { method, shape }),
            Err(error) => refused.combine(error),
        }
    }
    if all.is_empty() {
        refused.add(
            block.impl_token.span(),
            "no method of this block is exposed: write `pub` methods with `&self` or `&mut self`",
        );
    }
    refused.done(all)
}

/// Whether the method is called on a reference; others stay where they are, and a proxy does not have them.
fn borrows_self(method: &ImplItemFn) -> bool {
    match method.sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => matches!(&receiver.kind, ReceiverKind::Reference(..)),
        _ => false,
    }
}

fn shape(this: &Type, method: &ImplItemFn) -> Result<Shape> {
    let mut refused = Refused::default();
    refused.head(&method.sig);
    let mut named = method.sig.clone();
    named.inputs =
        named.inputs.into_iter().filter(|input| matches!(input, FnArg::Typed(_))).collect();
    let sig: syn::Signature = syn::parse2(without_self(named.to_token_stream(), this))?;
    let mut params = Vec::new();
    for input in &sig.inputs {
        let kind = refused.input(input);
        if let (Some(Kind::SliceMut(ty)), FnArg::Typed(typed)) = (&kind, input) {
            let _ = ty;
            refused.add(typed.ty.span(), "a managed method runs in another process, which cannot write in place: take the values, and return the new ones");
        }
        params.extend(kind);
    }
    let output = refused.output(&sig.output);
    refused.done(Shape { params, output })
}

impl Exposed<'_> {
    fn level(&self) -> TokenStream {
        let output = &self.shape.output;
        quote!(__p::Level<{ __p::level_of!(#output) }>)
    }

    fn names(&self) -> Vec<syn::Ident> {
        (0..self.shape.params.len())
            .map(|n| format_ident!("__a{n}", span = Span::mixed_site()))
            .collect()
    }

    /// What a proxy has.
    fn proxy(&self) -> TokenStream {
        let (name, output, level) = (&self.method.sig.ident, &self.shape.output, self.level());
        let cfgs = cfgs(&self.method.attrs);
        let docs = self.method.attrs.iter().filter(|attr| attr.path().is_ident("doc"));
        let names = self.names();
        let params = names.iter().zip(&self.shape.params).map(|(name, kind)| {
            let ty = accepted(kind);
            quote!(#name: #ty)
        });
        let kinds: Vec<_> = self.shape.params.iter().map(Kind::marker).collect();
        let borrows = names.iter().zip(&self.shape.params).filter_map(|(name, kind)| match kind {
            Kind::Ref(ty) => {
                Some(quote!(let #name: &#ty = ::core::borrow::Borrow::borrow(&#name);))
            }
            _ => None,
        });
        let plain = name.unraw().to_string();
        quote! {
            #(#cfgs)*
            #(#docs)*
            pub fn #name(&self, #(#params),*) -> ::core::result::Result<#output, __p::Error> {
                #(#borrows)*
                __p::managed_call(
                    &self.0,
                    #plain,
                    || [#(<#kinds as __p::Accepts<_, __p::Plain>>::size(&#names)),*],
                    |__out| {
                        #(__p::managed_put::<#kinds, _>(&#names, __out)?;)*
                        ::core::result::Result::Ok(())
                    },
                    <#level as __p::Codec<#output>>::decode,
                )
            }
        }
    }

    /// What the server runs.
    fn call(&self, this: &Type) -> TokenStream {
        let (name, output, level) = (&self.method.sig.ident, &self.shape.output, self.level());
        let cfgs = cfgs(&self.method.attrs);
        let names = self.names();
        let kinds: Vec<_> = self.shape.params.iter().map(Kind::marker).collect();
        let plain = name.unraw().to_string();
        quote! {
            #(#cfgs)*
            __p::ManagedMethod {
                name: #plain,
                call: |__this, __input, __reply| {
                    let __this: &mut #this = __p::managed_this(__this)?;
                    #(let mut #names = __p::managed_take::<#kinds>(__input)?;)*
                    let __result: #output = <#this>::#name(__this, #(<#kinds as __p::Param>::lend(&mut #names)?),*);
                    __p::managed_reply::<#output, #level>(&__result, __reply)
                },
            }
        }
    }
}

/// What a proxy's method takes for a parameter.
fn accepted(kind: &Kind) -> TokenStream {
    match kind {
        Kind::Owned(ty) | Kind::SliceMut(ty) => ty.to_token_stream(),
        Kind::Ref(ty) => quote!(impl ::core::borrow::Borrow<#ty>),
        Kind::Slice(ty) => quote!(impl ::core::convert::AsRef<[#ty]>),
        Kind::Str => quote!(impl ::core::convert::AsRef<str>),
    }
}
