//! What is to be called: a task by its path, a call with holes, a method of a value, a closure.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Member, Path, Result, Token};

use crate::closure::Closure;

/// The first thing a macro is given.
pub(crate) struct Target {
    pub(crate) callee: Callee,
    /// `None`: no parentheses were written.
    pub(crate) args: Option<Vec<Arg>>,
    pub(crate) span: Span,
}

pub(crate) enum Callee {
    Path(Path),
    Method(Box<Expr>, Ident),
    Closure(Box<Closure>),
}

/// One argument of a call.
pub(crate) enum Arg {
    /// `_`, to be filled by an item.
    Hole(Span),
    Value(Expr),
}

impl Target {
    pub(crate) fn of(expr: Expr) -> Result<Self> {
        let span = expr.span();
        let (callee, args) = match ungroup(expr) {
            Expr::Path(path) if path.qself.is_none() => (Callee::Path(path.path), None),
            Expr::Call(call) => (callee(*call.func)?, Some(args(call.args))),
            Expr::MethodCall(call) => {
                if let Some(turbofish) = &call.turbofish {
                    return Err(Error::new(
                        turbofish.span(),
                        "a task is not generic: leave the types out",
                    ));
                }
                (Callee::Method(call.receiver, call.method), Some(args(call.args)))
            }
            Expr::Field(field) => match field.member {
                Member::Named(name) => (Callee::Method(field.base, name), None),
                Member::Unnamed(index) => return Err(Error::new(index.span, NO_TASK)),
            },
            Expr::Closure(closure) => (Callee::Closure(Box::new(Closure::of(closure)?)), None),
            other => return Err(Error::new(other.span(), NO_TASK)),
        };
        Ok(Self { callee, args, span })
    }

    /// The positions of the holes among the written arguments.
    pub(crate) fn holes(&self) -> Vec<(usize, Span)> {
        let args = self.args.iter().flatten().enumerate();
        args.filter_map(
            |(at, arg)| if let Arg::Hole(span) = arg { Some((at, *span)) } else { None },
        )
        .collect()
    }
}

const NO_TASK: &str = "not a task: write its path, a call with `_` for what the items fill, `value.method`, or a closure `|x: u64| -> u64 { .. }`";

fn callee(function: Expr) -> Result<Callee> {
    match ungroup(function) {
        Expr::Path(path) if path.qself.is_none() => Ok(Callee::Path(path.path)),
        other => Err(Error::new(other.span(), "a task is called by its path")),
    }
}

fn args(args: Punctuated<Expr, Token![,]>) -> Vec<Arg> {
    args.into_iter()
        .map(|arg| match ungroup(arg) {
            Expr::Infer(hole) => Arg::Hole(hole.span()),
            value => Arg::Value(value),
        })
        .collect()
}

/// The expression itself, without the invisible groups of `macro_rules!`.
fn ungroup(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}
