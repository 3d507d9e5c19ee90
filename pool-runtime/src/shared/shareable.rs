//! Which types can be shared.

use bytemuck::{CheckedBitPattern, NoUninit};

/// Types whose values may lie in memory that processes share: plain bytes, without padding, pointers or owners.
///
/// All numbers, `bool`, `char` and arrays of numbers are; so is every [`bytemuck::Pod`]. A structure of yours becomes one by
/// `#[repr(C)]` and the derives of `bytemuck`, which this crate re-exports (`Pod` where all fields are; `NoUninit`,
/// `CheckedBitPattern` and `Zeroable` where some are `bool` or `char`):
///
/// ```
/// use pool_runtime::bytemuck;
///
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[bytemuck(crate = "pool_runtime::bytemuck")] // Not needed beside a dependency on `bytemuck`.
/// #[repr(C)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// let point = pool_runtime::Value::new(Point { x: 1.0, y: 2.0 })?;
/// point.lock()?.x += 10.0;
/// assert_eq!(point.get()?.x, 11.0);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
///
/// What owns or borrows cannot be shared:
///
/// ```compile_fail
/// let text = pool_runtime::Value::new(String::from("no"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in memory that processes share",
    label = "not plain bytes",
    note = "numbers, `bool`, `char` and arrays of numbers can, and structures with `#[derive(Clone, Copy, Pod, Zeroable)] #[repr(C)]` \
            of `pool_runtime::bytemuck`; pointers, references, `String`, `Vec` and `Box` mean nothing in another process"
)]
pub trait Shareable: NoUninit + CheckedBitPattern + Send + Sync {}

#[diagnostic::do_not_recommend]
impl<T: NoUninit + CheckedBitPattern + Send + Sync> Shareable for T {}
