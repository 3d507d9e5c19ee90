//! `par_map!` and its kin: one grammar, and one shape of what is written.
//!
//! ```text
//! match (bound arguments.., items, &pool) {
//!     (b0, .., items, pool) => form(Bound::new().arg(b0).., Holes::new(), items, Asked::new().pool(pool)..)
//! }
//! ```
//! A `match`, because it evaluates each expression once, in order, and keeps temporaries alive to the end of the statement.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Error, Expr, Result, Token};

use crate::attribute;
use crate::closure::Closure;
use crate::options::Options;
use crate::registration::position;
use crate::target::{Arg, Callee, Target};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Map,
    Starmap,
    Apply,
    Imap,
    ImapUnordered,
    MapAsync,
    StarmapAsync,
    ApplyAsync,
    Task,
}

impl Form {
    pub(crate) fn is_async(self) -> bool {
        matches!(self, Self::MapAsync | Self::StarmapAsync | Self::ApplyAsync)
    }

    pub(crate) fn streams(self) -> bool {
        matches!(self, Self::Imap | Self::ImapUnordered)
    }

    /// Whether it takes one call and no items.
    fn is_call(self) -> bool {
        matches!(self, Self::Apply | Self::ApplyAsync | Self::Task)
    }

    /// Whether an item fills several arguments.
    fn is_star(self) -> bool {
        matches!(self, Self::Starmap | Self::StarmapAsync)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Map => "par_map!",
            Self::Starmap => "par_starmap!",
            Self::Apply => "par_apply!",
            Self::Imap => "par_imap!",
            Self::ImapUnordered => "par_imap_unordered!",
            Self::MapAsync => "par_map_async!",
            Self::StarmapAsync => "par_starmap_async!",
            Self::ApplyAsync => "par_apply_async!",
            Self::Task => "task!",
        }
    }

    /// The function of the runtime, to be blamed at `place`.
    fn function(self, place: Span) -> Ident {
        let name = match self {
            Self::Map | Self::Starmap => "map",
            Self::Apply | Self::Task => "apply",
            Self::Imap => "imap",
            Self::ImapUnordered => "imap_unordered",
            Self::MapAsync | Self::StarmapAsync => "map_async",
            Self::ApplyAsync => "apply_async",
        };
        Ident::new(name, place)
    }

    /// The place that a bound argument stands in.
    fn bound_mode(self) -> TokenStream {
        if matches!(self, Self::Map | Self::Starmap) {
            quote!(__p::MapBound)
        } else {
            quote!(__p::Plain)
        }
    }
}

pub(crate) fn expand(form: Form, input: TokenStream) -> TokenStream {
    let parser = |input: ParseStream<'_>| Invocation::parse(form, input);
    parser
        .parse2(input)
        .and_then(|invocation| invocation.write())
        .unwrap_or_else(Error::into_compile_error)
}

struct Invocation {
    form: Form,
    target: Target,
    items: Option<Expr>,
    options: Options,
}

impl Invocation {
    fn parse(form: Form, input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Err(Error::new(input.span(), usage(form)));
        }
        let target = Target::of(input.parse()?)?;
        let items = if form.is_call() { None } else { Some(items(form, input)?) };
        let _ = input.parse::<Option<Token![,]>>()?;
        let options = if input.is_empty() {
            Options::default()
        } else {
            input.parse::<Token![;]>().map_err(|error| {
                Error::new(error.span(), "options come after a `;`, as in `; chunk_size = 10`")
            })?;
            Options::parse(input)?
        };
        options.check(form)?;
        Ok(Self { form, target, items, options })
    }

    fn write(&self) -> Result<TokenStream> {
        self.check_holes()?;
        let runtime = attribute::runtime();
        let (names, values): (Vec<_>, Vec<_>) = self.evaluated().into_iter().unzip();
        let body = self.body();
        let closure = match &self.target.callee {
            Callee::Closure(closure) => closure.items(),
            _ => TokenStream::new(),
        };
        Ok(quote! {
            match (#(#values,)*) {
                (#(#names,)*) => {
                    use #runtime as __p;
                    #closure
                    #body
                }
            }
        })
    }

    /// What is evaluated, in order, and the names it gets.
    fn evaluated(&self) -> Vec<(Ident, TokenStream)> {
        let mut evaluated = Vec::new();
        if let Callee::Method(receiver, method) = &self.target.callee {
            let hidden = format_ident!(
                "__pool_task_{}",
                syn::ext::IdentExt::unraw(method),
                span = Span::call_site().located_at(method.span())
            );
            evaluated.push((local("task"), quote!((#receiver).#hidden())));
        }
        for (at, arg) in self.target.args.iter().flatten().enumerate() {
            if let Arg::Value(value) = arg {
                evaluated.push((argument(at, value), quote!(#value)));
            }
        }
        if let Some(items) = &self.items {
            evaluated.push((named("items", items.span()), quote!(#items)));
        }
        if let Some(pool) = self.options.pool() {
            evaluated.push((named("pool", pool.span()), quote!(&(#pool))));
        }
        evaluated
    }

    fn body(&self) -> TokenStream {
        let (form, bound) = (self.form, self.bound());
        if form == Form::Task {
            let mut holes = self.target.holes().into_iter();
            return match holes.next() {
                Some((hole, _)) => {
                    let hole = position(hole + self.this());
                    quote!(#bound.partial::<#hole, _>())
                }
                None => quote!(#bound.call()),
            };
        }
        let span = Span::call_site()
            .located_at(self.items.as_ref().map_or(self.target.span, Spanned::span));
        let (function, asked) = (form.function(span), self.options.asked());
        let (holes, items) = (self.holes(span), self.given());
        let task = local("bound");
        // Bound first: with all its arguments' types found, a mismatch of the items is one message.
        let (way, choice) =
            if form.is_call() { Default::default() } else { way(&task, &holes, &items) };
        let call = quote_spanned!(span=> __p::#function(#task, #holes, #items, #way #asked));
        let finish = if form.is_async() {
            let callbacks = self.options.callbacks();
            quote!(#callbacks.start())
        } else {
            TokenStream::new()
        };
        let free = local("free");
        let holes_before =
            if self.spreads() { quote!(let #free = #task.free();) } else { TokenStream::new() };
        quote! {
            let #task = #bound;
            #holes_before
            #choice
            #call #finish
        }
    }

    /// Whether all parameters are filled, and how many there are is known only to the task.
    fn spreads(&self) -> bool {
        self.target.args.is_none() && self.form.is_star()
    }

    /// 1 when `self` stands before the written arguments.
    fn this(&self) -> usize {
        usize::from(matches!(self.target.callee, Callee::Method(..)))
    }

    /// The task with its bound arguments.
    fn bound(&self) -> TokenStream {
        let span = Span::call_site().located_at(self.target.span);
        let task = match &self.target.callee {
            Callee::Path(path) => quote_spanned!(span=> __p::Bound::<#path>::new()),
            Callee::Method(..) => {
                let task = local("task");
                quote!(#task)
            }
            Callee::Closure(_) => {
                let marker = Closure::marker();
                quote!(__p::Bound::<#marker>::new())
            }
        };
        let arity = self.arity().map(|arity| quote_spanned!(span=> .arity::<#arity>()));
        let args = self.bound_args();
        quote!(#task #arity #(#args)*)
    }

    fn arity(&self) -> Option<usize> {
        match (&self.target.args, &self.target.callee) {
            (Some(args), _) => Some(args.len()),
            (None, Callee::Closure(closure)) if self.form.is_star() => Some(closure.arity()),
            (None, _) => (!self.form.is_star()).then_some(1),
        }
    }

    fn bound_args(&self) -> Vec<TokenStream> {
        if self.form.is_call() && self.form != Form::Task {
            return Vec::new();
        }
        let mode = self.form.bound_mode();
        let values = self.target.args.iter().flatten().enumerate();
        values
            .filter_map(|(at, arg)| {
                let Arg::Value(value) = arg else { return None };
                let span = Span::call_site().located_at(value.span());
                let (index, name) = (position(at + self.this()), argument(at, value));
                Some(quote_spanned!(span=> .arg::<#index, #mode, _>(#name)))
            })
            .collect()
    }

    /// The positions that items fill, as an expression that is blamed when they do not.
    fn holes(&self, span: Span) -> TokenStream {
        if self.spreads() {
            let free = named("free", span);
            return quote!(#free);
        }
        let this = self.this();
        let at: Vec<usize> = match &self.target.args {
            Some(args) if self.form.is_call() => (0..args.len()).collect(),
            Some(_) => self.target.holes().into_iter().map(|(at, _)| at).collect(),
            None => vec![0],
        };
        let positions = at.into_iter().map(|at| position(at + this));
        if self.form.is_star() || self.form.is_call() {
            quote_spanned!(span=> __p::Holes::<(#(#positions,)*)>::new())
        } else {
            quote_spanned!(span=> __p::Holes::<__p::One<#(#positions)*>>::new())
        }
    }

    /// The items, or for a call its arguments as the only item.
    fn given(&self) -> TokenStream {
        if let Some(items) = &self.items {
            let items = named("items", items.span());
            return quote!(#items);
        }
        let args = self.target.args.iter().flatten().enumerate();
        let args = args.filter_map(|(at, arg)| match arg {
            Arg::Value(value) => Some(argument(at, value)),
            Arg::Hole(_) => None,
        });
        quote!((#(#args,)*))
    }

    fn check_holes(&self) -> Result<()> {
        let (form, holes) = (self.form, self.target.holes());
        let name = form.name();
        if form.is_call() && self.target.args.is_none() {
            return Err(Error::new(
                self.target.span,
                format!("`{name}` takes a call with its arguments, as in `f(1, 2)`"),
            ));
        }
        let allowed = if form == Form::Task {
            1
        } else if form.is_call() {
            0
        } else if form.is_star() {
            usize::MAX
        } else {
            1
        };
        if let Some((_, span)) = holes.get(allowed) {
            let message = match form {
                Form::Task => "`task!` leaves at most one argument open",
                Form::Apply | Form::ApplyAsync => {
                    "there are no items to fill this: give all arguments, or use `par_map!`"
                }
                _ => {
                    "an item fills one `_`: give the other arguments, or use `par_starmap!` with tuples"
                }
            };
            return Err(Error::new(*span, message));
        }
        if !form.is_call() && self.target.args.is_some() && holes.is_empty() {
            let message = format!("`{name}` needs a `_` where an item goes, as in `f(2.5, _)`");
            return Err(Error::new(self.target.span, message));
        }
        Ok(())
    }
}

/// How items are taken, as an argument, and what finds it out before: see `task::way` in the runtime.
fn way(task: &Ident, holes: &TokenStream, items: &TokenStream) -> (TokenStream, TokenStream) {
    let way = local("way");
    let choice = quote! {
        let #way = {
            use __p::{ChooseAnyWay as _, ChooseByValue as _};
            __p::Given::of(&#task, &#holes, &#items).pool_way()
        };
    };
    (quote!(#way,), choice)
}

fn items(form: Form, input: ParseStream<'_>) -> Result<Expr> {
    if !input.peek(Token![,]) || input.peek2(Token![;]) {
        return Err(Error::new(input.span(), usage(form)));
    }
    input.parse::<Token![,]>()?;
    if input.is_empty() {
        return Err(Error::new(input.span(), usage(form)));
    }
    input.parse()
}

fn usage(form: Form) -> String {
    let name = form.name();
    match form {
        Form::Starmap | Form::StarmapAsync => {
            format!("`{name}` takes a task and tuples of its arguments: `{name}(f, tuples)`")
        }
        Form::Apply | Form::ApplyAsync | Form::Task => {
            format!("`{name}` takes a call: `{name}(f(a, b))`")
        }
        _ => format!("`{name}` takes a task and items: `{name}(f, items)`"),
    }
}

/// A name that nobody else can see.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The same for something that the user wrote, where a mismatch is to be shown.
pub(crate) fn named(name: &str, place: Span) -> Ident {
    Ident::new(name, Span::mixed_site().located_at(place))
}

/// The name of an argument.
fn argument(at: usize, value: &Expr) -> Ident {
    named(&format!("a{at}"), value.span())
}
