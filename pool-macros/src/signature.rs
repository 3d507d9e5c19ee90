//! What the parameters and the result of a task are, and what they may not be.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Error, FnArg, GenericArgument, Lifetime, Pat, PathArguments, PathSegment, Result, ReturnType,
    Signature, Type, TypeImplTrait, TypeReference,
};

/// How a parameter is taken.
pub(crate) enum Kind {
    Owned(Type),
    Ref(Type),
    Slice(Type),
    SliceMut(Type),
    Str,
}

/// The types of a task.
pub(crate) struct Shape {
    pub(crate) params: Vec<Kind>,
    pub(crate) output: Type,
}

impl Shape {
    /// Looks at a function that is not a method.
    pub(crate) fn of_function(sig: &Signature) -> Result<Self> {
        let mut refused = Refused::default();
        refused.head(sig);
        let params = sig.inputs.iter().filter_map(|input| refused.input(input)).collect();
        let output = refused.output(&sig.output);
        refused.done(Self { params, output })
    }

    /// Looks at the types of a closure.
    pub(crate) fn of_closure(inputs: &[(Pat, Type)], output: &ReturnType) -> Result<Self> {
        let mut refused = Refused::default();
        let params = inputs.iter().filter_map(|(_, ty)| refused.parameter(ty)).collect();
        let output = refused.output(output);
        refused.done(Self { params, output })
    }

    pub(crate) fn writes_in_place(&self) -> bool {
        self.written().next().is_some()
    }

    /// The types of what is written in place.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Type> {
        self.params.iter().filter_map(|kind| match kind {
            Kind::SliceMut(ty) => Some(ty),
            _ => None,
        })
    }

    /// All types that must be able to travel.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Type> {
        self.params.iter().filter_map(Kind::ty).chain([&self.output])
    }
}

impl Kind {
    pub(crate) fn ty(&self) -> Option<&Type> {
        match self {
            Self::Owned(ty) | Self::Ref(ty) | Self::Slice(ty) => Some(ty),
            // A part of a shared buffer does not travel.
            Self::SliceMut(_) | Self::Str => None,
        }
    }

    /// The marker type of the parameter.
    pub(crate) fn marker(&self) -> TokenStream {
        match self {
            Self::Owned(ty) => quote!(__p::Owned<#ty, __p::Level<{ __p::level_of!(#ty) }>>),
            Self::Ref(ty) => quote!(__p::Ref<#ty, __p::Level<{ __p::level_of!(#ty) }>>),
            Self::Slice(ty) => quote!(__p::Slice<#ty, __p::Level<{ __p::level_of!(in [#ty]) }>>),
            Self::SliceMut(ty) => quote_spanned!(ty.span()=> __p::SliceMut<#ty>),
            Self::Str => quote!(__p::Str),
        }
    }
}

/// A call says by the bits of one word which of its arguments are bound.
const MOST_PARAMETERS: usize = 32;

/// Gathers all that is wrong, so that it is told at once.
#[derive(Default)]
pub(crate) struct Refused {
    all: Option<Error>,
    /// Whether generics have been refused where they are declared: the types that use them say nothing new.
    generic: bool,
}

impl Refused {
    pub(crate) fn add(&mut self, span: Span, message: &str) {
        self.combine(Error::new(span, message));
    }

    pub(crate) fn combine(&mut self, error: Error) {
        match &mut self.all {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        }
    }

    pub(crate) fn done<T>(self, value: T) -> Result<T> {
        self.all.map_or(Ok(value), Err)
    }

    /// Everything of a function but its parameters and its result.
    pub(crate) fn head(&mut self, sig: &Signature) {
        if let Some(token) = &sig.asyncness {
            self.add(token.span(), "a task cannot be `async`: write a plain `fn` that blocks; the worker has nothing else to do");
        }
        if let syn::Safety::Unsafe(token) = &sig.safety {
            self.add(
                token.span(),
                "a task cannot be `unsafe`: write a safe `fn` around the unsafe block",
            );
        }
        if let Some(abi) = &sig.abi {
            self.add(
                abi.span(),
                "a task cannot be `extern`: call the foreign function from a plain `fn`",
            );
        }
        if let Some(input) = sig.inputs.iter().nth(MOST_PARAMETERS) {
            self.add(
                input.span(),
                "a task has at most 32 parameters: put some of them into a struct",
            );
        }
        if let Some(dots) = &sig.variadic {
            self.add(dots.span(), "a task has a fixed number of parameters");
        }
        if let Some(param) = sig.generics.params.first() {
            self.generic = true;
            let message = match param {
                syn::GenericParam::Lifetime(_) => {
                    "a task cannot name lifetimes: leave it out, or take an owned value"
                }
                _ => {
                    "a task cannot be generic: write one task for each type, which calls the generic function"
                }
            };
            self.add(param.span(), message);
        } else if let Some(clause) = &sig.generics.where_clause {
            self.add(
                clause.span(),
                "a task cannot have a `where` clause: it has no generics to speak of",
            );
        }
    }

    /// One parameter of a function.
    pub(crate) fn input(&mut self, input: &FnArg) -> Option<Kind> {
        match input {
            FnArg::Receiver(receiver) => {
                let message = "a method is a task only in a marked block: put `#[pool_task]` on the `impl` as well";
                self.add(receiver.self_token.span(), message);
                None
            }
            FnArg::Typed(typed) => {
                self.pattern(&typed.pat);
                if let Some(cfg) = typed.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    self.add(cfg.span(), "a parameter of a task cannot be conditional: put `cfg` on the whole function");
                }
                self.parameter(&typed.ty)
            }
        }
    }

    fn pattern(&mut self, pat: &Pat) {
        let plain = match pat {
            Pat::Ident(name) => name.by_ref.is_none() && name.subpat.is_none(),
            Pat::Wild(_) => true,
            _ => false,
        };
        if !plain {
            self.add(
                pat.span(),
                "a parameter of a task is a plain name: take the value apart in the body",
            );
        }
    }

    /// The type of one parameter.
    pub(crate) fn parameter(&mut self, ty: &Type) -> Option<Kind> {
        if self.generic {
            return None;
        }
        let Type::Reference(reference) = peel(ty) else {
            return self.nested(ty, OWNED).then(|| Kind::Owned(ty.clone()));
        };
        if let Some(lifetime) = named(reference) {
            let message = if lifetime.ident == "static" {
                "what a worker is given does not live for ever: leave out `'static`, or take an owned value"
            } else {
                "a task cannot name lifetimes: leave it out, or take an owned value"
            };
            self.add(lifetime.span(), message);
            return None;
        }
        let inner = peel(&reference.elem);
        if let Some(token) = &reference.mutability {
            return self.mutable(token.span(), inner);
        }
        match inner {
            Type::Slice(slice) => {
                self.nested(&slice.elem, OWNED).then(|| Kind::Slice((*slice.elem).clone()))
            }
            ty if is_path(ty, "str") => Some(Kind::Str),
            ty => self.borrowed(ty),
        }
    }

    fn mutable(&mut self, span: Span, inner: &Type) -> Option<Kind> {
        if let Type::Slice(slice) = inner {
            return self.nested(&slice.elem, OWNED).then(|| Kind::SliceMut((*slice.elem).clone()));
        }
        let message = "only `&mut [T]` can be written in place, by a part of a `SharedBuffer`: take the value and return the new one";
        self.add(span, message);
        None
    }

    fn borrowed(&mut self, ty: &Type) -> Option<Kind> {
        for unsized_type in ["Path", "OsStr", "CStr"] {
            if is_path(ty, unsized_type) {
                self.add(ty.span(), "a type without a size cannot travel by reference: take the owned type, as `&PathBuf` for `&Path`");
                return None;
            }
        }
        if let Type::TraitObject(object) = ty {
            self.add(
                object.span(),
                "a trait object cannot travel: take a type that serde knows, such as an enum",
            );
            return None;
        }
        self.nested(ty, OWNED).then(|| Kind::Ref(ty.clone()))
    }

    /// The result.
    pub(crate) fn output(&mut self, output: &ReturnType) -> Type {
        let ReturnType::Type(_, ty) = output else { return syn::parse_quote!(()) };
        if self.generic {
            return (**ty).clone();
        }
        if let Type::Never(never) = peel(ty) {
            self.add(never.span(), "a task has a result: return `()`");
        } else {
            self.nested(
                ty,
                "a result cannot borrow: return an owned value, as `String` for `&str`",
            );
        }
        (**ty).clone()
    }

    /// Looks for what cannot stand anywhere inside a type; whether there is nothing.
    fn nested(&mut self, ty: &Type, reference: &'static str) -> bool {
        let mut inside = Inside { reference, found: None };
        inside.visit_type(ty);
        let fine = inside.found.is_none();
        if let Some((span, message)) = inside.found {
            self.add(span, message);
        }
        fine
    }
}

const OWNED: &str = "a reference is possible only as the whole parameter: take an owned value, as `Option<String>` for `Option<&str>`";

struct Inside {
    reference: &'static str,
    found: Option<(Span, &'static str)>,
}

impl<'ast> Visit<'ast> for Inside {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.found.get_or_insert((reference.and_token.span(), self.reference));
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        self.found.get_or_insert((
            ty.impl_token.span(),
            "a task cannot be generic, and `impl Trait` makes it so: name the type",
        ));
    }

    /// A `Cow<'static, T>` owns what it holds when serde has made it.
    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        match &segment.arguments {
            PathArguments::AngleBracketed(given) if segment.ident == "Cow" => {
                let others = given.args.iter().filter(|argument| !is_static(argument));
                others.for_each(|argument| self.visit_generic_argument(argument));
            }
            _ => visit::visit_path_segment(self, segment),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        let message = if lifetime.ident == "static" {
            "what a worker is given does not live for ever: name a type that owns what it holds"
        } else {
            self.reference
        };
        self.found.get_or_insert((lifetime.span(), message));
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        if let Type::Infer(infer) = ty {
            self.found.get_or_insert((infer.span(), "the types of a task are written out"));
        }
        visit::visit_type(self, ty);
    }
}

fn is_static(argument: &GenericArgument) -> bool {
    matches!(argument, GenericArgument::Lifetime(lifetime) if lifetime.ident == "static")
}

/// A lifetime that is not `'_`.
fn named(reference: &TypeReference) -> Option<&Lifetime> {
    reference.lifetime.as_ref().filter(|lifetime| lifetime.ident != "_")
}

/// The type itself, without the parentheses and the invisible groups of `macro_rules!`.
pub(crate) fn peel(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

fn is_path(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.qself.is_none()
        && path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == name && last.arguments.is_empty())
}
