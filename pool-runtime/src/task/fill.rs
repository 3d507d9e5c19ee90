//! Which parameters an item fills: the holes of a partial application.

use std::marker::PhantomData;

use super::accept::{Accepts, ByRef};
use super::params::{Missing, Param, Params};
use super::way::{TakesValue, Values};
use crate::codec::{Out, Stop};
use crate::error::Error;

/// The first position.
#[derive(Debug)]
pub struct Z;

/// The position after `N`.
#[derive(Debug)]
pub struct S<N>(PhantomData<N>);

/// A position, as a number.
pub trait Index {
    /// From 0.
    const N: u32;
}

impl Index for Z {
    const N: u32 = 0;
}

impl<N: Index> Index for S<N> {
    const N: u32 = N::N + 1;
}

/// The parameter at position `N`.
pub trait Nth<N>: Params {
    /// Its kind; `Missing` behind the last.
    type Param: Param;
}

impl<P: Param, Rest: Params> Nth<Z> for (P, Rest) {
    type Param = P;
}

impl<P: Param, Rest: Params + Nth<N>, N> Nth<S<N>> for (P, Rest) {
    type Param = Rest::Param;
}

impl<N> Nth<N> for () {
    type Param = Missing;
}

/// The positions that items fill, in order. Made by the macros.
#[derive(Debug)]
pub struct Holes<H>(PhantomData<H>);

impl<H> Holes<H> {
    /// The positions `H`.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<H> Default for Holes<H> {
    fn default() -> Self {
        Self::new()
    }
}

/// The one position that an item of a map fills, whole.
#[derive(Debug)]
pub struct One<N>(PhantomData<N>);

/// An item of type `A` fills these positions among the parameters `P`, in the place that `M` names.
#[diagnostic::on_unimplemented(
    message = "an item `{A}` does not fill the arguments of this call",
    label = "the items do not fit",
    note = "`par_starmap!`, `starmap` and `apply` take a tuple with one element for each argument that is left open"
)]
pub trait Fill<P, A, M> {
    /// `Some(n)`: every item takes exactly `n` bytes.
    const STRIDE: Option<usize>;
    /// Whether an item's bytes point into memory that is lent for the call.
    const LENDS: bool;

    /// Writes an item.
    ///
    /// # Errors
    /// As for [`Accepts::encode`].
    fn encode(item: &A, out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes `encode` writes, or a little more.
    ///
    /// # Errors
    /// As for [`Accepts::size`].
    fn size(item: &A) -> Result<usize, Error>;
}

impl<P, A, M, N> Fill<P, A, M> for One<N>
where
    P: Nth<N, Param: Accepts<A, M>>,
{
    const STRIDE: Option<usize> = <P::Param as Param>::STRIDE;
    const LENDS: bool = <P::Param as Accepts<A, M>>::LENDS;

    #[inline]
    fn encode(item: &A, out: &mut Out<'_>) -> Result<(), Stop> {
        <P::Param as Accepts<A, M>>::encode(item, out)
    }

    fn size(item: &A) -> Result<usize, Error> {
        <P::Param as Accepts<A, M>>::size(item)
    }
}

/// How many bytes two things take that lie side by side.
pub(super) const fn plus(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    }
}

impl<P, M> Fill<P, (), M> for () {
    const STRIDE: Option<usize> = Some(0);
    const LENDS: bool = false;

    fn encode((): &(), _: &mut Out<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn size((): &()) -> Result<usize, Error> {
        Ok(0)
    }
}

macro_rules! tuples {
    ($(($($n:ident $a:ident $item:ident),*))*) => {$(
        impl<P, M, $($n, $a),*> Fill<P, ($($a,)*), M> for ($($n,)*)
        where
            $(P: Nth<$n, Param: Accepts<$a, M>>,)*
        {
            const STRIDE: Option<usize> = {
                let stride = Some(0);
                $(let stride = plus(stride, <<P as Nth<$n>>::Param as Param>::STRIDE);)*
                stride
            };
            const LENDS: bool = $(<<P as Nth<$n>>::Param as Accepts<$a, M>>::LENDS)||*;

            #[inline]
            fn encode(($($item,)*): &($($a,)*), out: &mut Out<'_>) -> Result<(), Stop> {
                $(<<P as Nth<$n>>::Param as Accepts<$a, M>>::encode($item, out)?;)*
                Ok(())
            }

            fn size(($($item,)*): &($($a,)*)) -> Result<usize, Error> {
                Ok(0 $(+ <<P as Nth<$n>>::Param as Accepts<$a, M>>::size($item)?)*)
            }
        }

        impl<P, $($n),*> Values<P> for ($($n,)*)
        where
            $(P: Nth<$n, Param: TakesValue>,)*
        {
            type Item = ($(<<P as Nth<$n>>::Param as Param>::Value,)*);
        }

        impl<P, M: ByRef, $($n, $a),*> Fill<P, &($($a,)*), M> for ($($n,)*)
        where
            ($($n,)*): Fill<P, ($($a,)*), M>,
        {
            const STRIDE: Option<usize> = <Self as Fill<P, ($($a,)*), M>>::STRIDE;
            const LENDS: bool = <Self as Fill<P, ($($a,)*), M>>::LENDS;

            #[inline]
            fn encode(item: &&($($a,)*), out: &mut Out<'_>) -> Result<(), Stop> {
                <Self as Fill<P, ($($a,)*), M>>::encode(item, out)
            }

            fn size(item: &&($($a,)*)) -> Result<usize, Error> {
                <Self as Fill<P, ($($a,)*), M>>::size(item)
            }
        }
    )*};
}

// More arguments than this are better fields of a structure.
tuples! {
    (N0 A0 a0)
    (N0 A0 a0, N1 A1 a1)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10, N11 A11 a11)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10, N11 A11 a11, N12 A12 a12)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10, N11 A11 a11, N12 A12 a12, N13 A13 a13)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10, N11 A11 a11, N12 A12 a12, N13 A13 a13, N14 A14 a14)
    (N0 A0 a0, N1 A1 a1, N2 A2 a2, N3 A3 a3, N4 A4 a4, N5 A5 a5, N6 A6 a6, N7 A7 a7, N8 A8 a8, N9 A9 a9, N10 A10 a10, N11 A11 a11, N12 A12 a12, N13 A13 a13, N14 A14 a14, N15 A15 a15)
}
