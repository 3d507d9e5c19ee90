//! Writes out what makes a marker type a task: its `impl Task`, its entry in the registry, and the checks of its types.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::attribute::Attribute;
use crate::signature::{Kind, Shape};

/// One task, about to be written out.
pub(crate) struct Registration<'a> {
    pub(crate) attribute: &'a Attribute,
    /// Attributes that decide whether the task is there at all.
    pub(crate) cfgs: &'a [syn::Attribute],
    /// The type that stands for the task.
    pub(crate) marker: TokenStream,
    /// The default name, after the module's path.
    pub(crate) name: String,
    pub(crate) shape: &'a Shape,
    /// `Some`: a method, and the type of its `self`, which is the first parameter.
    pub(crate) this: Option<TokenStream>,
    /// What is called with the arguments.
    pub(crate) callee: TokenStream,
    pub(crate) place: Span,
}

impl Registration<'_> {
    pub(crate) fn write(&self) -> TokenStream {
        let runtime = self.attribute.runtime();
        let (marker, cfgs) = (&self.marker, self.cfgs);
        let (task, checks) = (self.task(), self.checks());
        let arity = self.shape.params.len();
        quote! {
            #(#cfgs)*
            const _: () = {
                use #runtime as __p;
                #task
                impl __p::Arity<#arity> for #marker {}
                __p::inventory::submit! { <#marker as __p::Task>::DEF }
                #checks
            };
        }
    }

    fn task(&self) -> TokenStream {
        let (marker, output, callee) = (&self.marker, &self.shape.output, &self.callee);
        let kinds = self
            .this
            .iter()
            .map(|this| quote!(__p::Ref<#this, __p::Level<{ __p::level_of!(#this) }>>));
        let kinds: Vec<_> = kinds.chain(self.shape.params.iter().map(Kind::marker)).collect();
        let params = kinds.iter().rfold(quote!(()), |rest, kind| quote!((#kind, #rest)));
        let args: Vec<_> =
            (0..kinds.len()).map(|n| format_ident!("__a{n}", span = Span::mixed_site())).collect();
        let pattern = args.iter().rfold(quote!(()), |rest, arg| quote!((#arg, #rest)));
        let free = (usize::from(self.this.is_some())..kinds.len()).map(position);
        let def = self.def();
        quote! {
            impl __p::Task for #marker {
                type Output = #output;
                type Level = __p::Level<{ __p::level_of!(#output) }>;
                type Params = #params;
                type Free = (#(#free,)*);
                const DEF: __p::TaskDef = #def;

                #[inline]
                fn call(#pattern: <Self::Params as __p::Params>::Args<'_>) -> #output {
                    #callee(#(#args),*)
                }
            }
        }
    }

    fn def(&self) -> TokenStream {
        let named = self.attribute.name.is_some();
        let name = match &self.attribute.name {
            Some(name) => quote!(#name),
            None => {
                let name = &self.name;
                quote!(::core::concat!(::core::module_path!(), "::", #name))
            }
        };
        let writes_in_place = self.shape.writes_in_place();
        let retries = match &self.attribute.retries {
            Some(retries) => quote!(::core::option::Option::Some(#retries)),
            // So that the pool's own setting does not reach it.
            None if writes_in_place => quote!(::core::option::Option::Some(0)),
            None => quote!(::core::option::Option::None),
        };
        let timeout = match self.attribute.timeout {
            Some(timeout) => {
                let (seconds, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
                quote!(::core::option::Option::Some(::core::time::Duration::new(#seconds, #nanos)))
            }
            None => quote!(::core::option::Option::None),
        };
        let place = Span::call_site().located_at(self.place);
        let place = quote_spanned!(place=> (::core::file!(), ::core::line!(), ::core::column!()));
        quote! {
            __p::TaskDef {
                name: #name,
                named: #named,
                place: #place,
                marker: ::core::any::TypeId::of::<Self>(),
                run: __p::run::<Self>,
                failed: |bytes| __p::failure::<Self>(bytes, |output| __p::outcome_of!(output)),
                retries: #retries,
                timeout: #timeout,
                result_stride: <<Self as __p::Task>::Level as __p::Codec<<Self as __p::Task>::Output>>::STRIDE,
                plain_result: <<Self as __p::Task>::Level as __p::Codec<<Self as __p::Task>::Output>>::PLAIN,
                writes_in_place: #writes_in_place,
            }
        }
    }

    /// One question for each type, so that one that cannot travel gives one message, at the type.
    fn checks(&self) -> TokenStream {
        let types = self.shape.types().map(|ty| {
            let span = Span::call_site().located_at(ty.span());
            quote_spanned!(span=> __p::sendable::<#ty, __p::Verdict<{ __p::level_of!(#ty) }>>();)
        });
        let written = self.shape.written().map(|ty| {
            let span = Span::call_site().located_at(ty.span());
            quote_spanned!(span=> __p::writable::<#ty, __p::Verdict<{ __p::level_of!(#ty) }>>();)
        });
        let this = self.this.iter().map(|ty| {
            let span = Span::call_site().located_at(ty.span());
            quote_spanned!(span=> __p::sendable::<#ty, __p::Verdict<{ __p::level_of!(#ty) }>>();)
        });
        quote! {
            const _: fn() = || { #(#types)* #(#written)* #(#this)* };
        }
    }
}

/// The type that stands for the position `n`.
pub(crate) fn position(n: usize) -> TokenStream {
    (0..n).fold(quote!(__p::Z), |before, _| quote!(__p::S<#before>))
}
