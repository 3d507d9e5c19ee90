//! A closure literal as a task: lifted to a function, so it cannot capture.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Error, ExprClosure, Pat, Result, Type};

use crate::attribute::Attribute;
use crate::registration::Registration;
use crate::signature::Shape;

pub(crate) struct Closure {
    literal: ExprClosure,
    params: Vec<(Pat, Type)>,
    shape: Shape,
}

impl Closure {
    pub(crate) fn of(literal: ExprClosure) -> Result<Self> {
        if let Some(token) = &literal.asyncness {
            return Err(Error::new(
                token.span(),
                "a task cannot be `async`: the worker has nothing else to do",
            ));
        }
        let params = literal.inputs.iter().map(typed).collect::<Result<Vec<_>>>()?;
        if matches!(literal.output, syn::ReturnType::Default) {
            let message = "a closure runs in another process, so its types are written out: `|x: u64| -> u64 { .. }`";
            return Err(Error::new(literal.inputs_end.span(), message));
        }
        let shape = Shape::of_closure(&params, &literal.output)?;
        Ok(Self { literal, params, shape })
    }

    pub(crate) fn arity(&self) -> usize {
        self.params.len()
    }

    /// The name of the lifted function and of its marker.
    pub(crate) fn marker() -> Ident {
        Ident::new("__closure", Span::mixed_site())
    }

    /// The function, its marker, and what makes it a task.
    pub(crate) fn items(&self) -> TokenStream {
        let (name, attribute) = (Self::marker(), Attribute::default());
        let (patterns, types): (Vec<_>, Vec<_>) =
            self.params.iter().map(|(pat, ty)| (pat, ty)).unzip();
        let (output, body, literal) = (&self.shape.output, self.body(), &self.literal);
        let start = self.literal.inputs_begin.span().unwrap();
        let registration = Registration {
            attribute: &attribute,
            cfgs: &[],
            marker: quote!(#name),
            name: format!("closure@{}:{}", start.line(), start.column()),
            shape: &self.shape,
            this: None,
            callee: quote!(#name),
            place: self.literal.inputs_begin.span(),
        };
        let registration = registration.write();
        quote! {
            fn #name(#(#patterns: #types),*) -> #output #body
            enum #name {}
            #registration
            // A closure that captures does not become a function pointer, and the compiler then prints the name of what it was
            // given to.
            if false {
                __p::a_value_from_outside_goes_in_by_partial_application::<fn(#(#types),*) -> #output>(#literal);
            }
        }
    }

    /// The body with braces, but not twice: superfluous ones are linted.
    fn body(&self) -> TokenStream {
        match &*self.literal.body {
            syn::Expr::Block(block) if block.label.is_none() && block.attrs.is_empty() => {
                block.to_token_stream()
            }
            body => quote!({ #body }),
        }
    }
}

fn typed(input: &Pat) -> Result<(Pat, Type)> {
    match input {
        Pat::Type(typed) => Ok(((*typed.pat).clone(), (*typed.ty).clone())),
        other => Err(Error::new(
            other.span(),
            "a closure runs in another process, so its types are written out: `|x: u64| -> u64 { .. }`",
        )),
    }
}
