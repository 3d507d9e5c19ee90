//! The macros, with the documentation that users read: it stands here so that its examples can use the runtime.

/// Makes a function a task: something that a worker can be asked to run.
///
/// The function stays an ordinary function, and one `use` of its name brings all that the other macros need.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// # fn main() -> Result<(), Error> {
/// assert_eq!(square(3), 9);
/// assert_eq!(par_map!(square, 0..4)?, [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
///
/// # Types
///
/// Arguments and results are whatever `serde` can write and read back (`Serialize + DeserializeOwned`), or plain numbers
/// (`bytemuck::Pod`), which travel as their bytes. A parameter may be a reference:
///
/// | parameter | what may be given for it |
/// |---|---|
/// | `T` | a `T`; as an item also a `&T` |
/// | `&T` | a `T` or a `&T` |
/// | `&[T]` | anything `AsRef<[T]>`; plain numbers are read where they lie, without a copy in the worker (aligned to more than 16 bytes, perhaps with one) |
/// | `&str` | anything `AsRef<str>`, read where it lies |
/// | `&mut [T]` | a part of a shared buffer, written where it lies |
///
/// Types that need a self-describing format travel as [`Json<T>`](crate::Json).
///
/// # Methods
///
/// On an `impl` block the marked methods become tasks. `self` travels once per call, not once per item.
///
/// ```
/// use pool_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Renderer { width: u32 }
///
/// #[pool_task]
/// impl Renderer {
///     #[pool_task]
///     fn tile(&self, x: u32, y: u32) -> u32 { y * self.width + x }
/// }
///
/// # fn main() -> Result<(), Error> {
/// let renderer = Renderer { width: 10 };
/// assert_eq!(par_map!(renderer.tile(_, 7), 0..3)?, [70, 71, 72]);
/// # Ok(())
/// # }
/// ```
///
/// # Settings
///
/// `#[pool_task(name = "geo.area", retries = 2, timeout = "5s")]`: each may be left out.
///
/// * `name`: what errors and logs call the task, in place of `module::path::function`. Two tasks of one such name are an error
///   of kind `Duplicate` when the first pool starts.
/// * `retries`: how often an item whose worker died or that timed out is tried again.
/// * `timeout`: how long the function may run on one item, as a number and `ns`, `us`, `ms`, `s`, `m` or `h`.
/// * `crate`: the path of this crate, for a crate that re-exports it.
///
/// # What cannot be a task
///
/// Generic functions, methods by `self` or `&mut self`, results that borrow, and `async`, `unsafe` or `extern` functions. The
/// attribute takes the function's name among types too, so no module, type or trait of that name can stand beside it.
pub use pool_macros::pool_task;

/// Makes the `pub` methods of a type callable in the server of a [`Manager`](crate::Manager), on one object that many share.
///
/// ```
/// use pool_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter { total: u64 }
///
/// #[managed]
/// impl Counter {
///     pub fn add(&mut self, n: u64) -> u64 {
///         self.total += n;
///         self.total
///     }
/// }
///
/// # fn main() -> Result<(), Error> {
/// let m = Manager::start()?;
/// let counter: Proxy<Counter> = m.create(Counter::default())?;
/// assert_eq!(counter.add(3)?, 3);
/// assert_eq!(counter.clone().add(4)?, 7);
/// # Ok(())
/// # }
/// ```
///
/// A [`Proxy`](crate::Proxy) has a method for each `pub` method with `&self` or `&mut self`, with the parameter forms of tasks,
/// and with the result in a `Result`. What else stands in the block stays where it is. The object lives in the server, and
/// there the methods run, one call at a time; a panic is an error of kind `Panicked` for its caller, and the object stays as
/// the method left it. The type derives `serde::Serialize` and `serde::Deserialize`, to get there; it cannot be generic, and
/// has one marked block. `crate = path` names this crate, for a crate that re-exports it.
pub use pool_macros::managed;

/// Applies a task to each item, in several processes, and gives the results in the order of the input.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn scale(factor: f64, x: f64) -> f64 { factor * x }
///
/// # fn main() -> Result<(), Error> {
/// assert_eq!(par_map!(scale(2.5, _), [1.0, 2.0])?, [2.5, 5.0]);
/// assert_eq!(par_map!(|x: u64| -> u64 { x + 1 }, 0..3; chunk_size = 2)?, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
///
/// `par_map!(TASK, ITEMS [; OPTION = VALUE, ..]) -> Result<Vec<R>, Error>`
///
/// # The task
///
/// * `square`: the path of a task;
/// * `scale(2.5, _)`: with some of its arguments, and `_` where the item goes. They are evaluated once, and travel once per
///   worker;
/// * `renderer.tile` or `renderer.tile(_, 7)`: a method, bound to this value;
/// * `|x: u64| -> u64 { x + 1 }`: a closure with its types. It cannot capture: what it needs from outside goes in by partial
///   application of a task.
///
/// # The items
///
/// Anything `IntoIterator`, endless or not, pulled by this thread as there is room: it need be neither `Send` nor `'static`.
///
/// # Options
///
/// * `pool = ..`: a [`Pool`](crate::Pool) or a reference to one; else the pool of the process, which starts on first use;
/// * `chunk_size = ..`: items per chunk, exactly; else chunks adapt;
/// * `timeout = ..`: a `Duration` for each item;
/// * `retries = ..`: for an item whose worker died or that timed out;
/// * `progress = ..`: `true` or a label: a bar on stderr, when that is a terminal.
///
/// # Errors
///
/// Stops at the first failure: what has not started is not started. Of several failures it gives the one of the lowest index
/// that is known.
pub use pool_macros::par_map;

/// As [`par_map!`](crate::par_map), but each item is a tuple of arguments: `(a, b)` becomes `f(a, b)`.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// # fn main() -> Result<(), Error> {
/// assert_eq!(par_starmap!(add, (0..3).zip(10..))?, [10, 12, 14]);
/// assert_eq!(par_starmap!(add(_, 5), [(1,), (2,)])?, [6, 7]);
/// # Ok(())
/// # }
/// ```
pub use pool_macros::par_starmap;

/// Runs one call in a worker, and waits for its result.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// # fn main() -> Result<(), Error> {
/// assert_eq!(par_apply!(add(2, 3))?, 5);
/// # Ok(())
/// # }
/// ```
///
/// The options are those of [`par_map!`](crate::par_map).
///
/// # Errors
///
/// What the call failed with.
pub use pool_macros::par_apply;

/// As [`par_map!`](crate::par_map), but gives an iterator at once: over the results in the order of the input, each as soon as
/// it and those before it are there.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> Result<(), Error> {
/// let mut sum = 0;
/// for x in par_imap!(square, 0..; window = 16)?.take(4) {
///     sum += x?;
/// }
/// assert_eq!(sum, 14);
/// # Ok(())
/// # }
/// ```
///
/// It goes on past a failed item, whose place an `Err` takes. One more option: `window = ..`, the most items that are taken
/// from the input ahead of the consumer. Dropping the iterator ends the work.
///
/// # Errors
///
/// What kept the job from starting.
pub use pool_macros::par_imap;

/// As [`par_imap!`](crate::par_imap), but in the order of completion: the items are `(index, result)`.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> Result<(), Error> {
/// for (index, x) in par_imap_unordered!(square, 5..8)? {
///     assert_eq!(x?, [25, 36, 49][index]);
/// }
/// # Ok(())
/// # }
/// ```
pub use pool_macros::par_imap_unordered;

/// As [`par_map!`](crate::par_map), but gives an [`AsyncResult`](crate::AsyncResult) at once.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> Result<(), Error> {
/// let squares = par_map_async!(square, 0..4; callback = |all| println!("{} are there", all.len()))?;
/// assert_eq!(squares.get()?, [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
///
/// The items are pulled by a thread of the pool, so their iterator is `Send + 'static`. Two more options: `callback = F`,
/// called with the results, and `error_callback = F`, called with the error; once, and exactly one of the two, before the
/// result can be seen elsewhere.
///
/// # Errors
///
/// What kept the job from starting.
pub use pool_macros::par_map_async;

/// As [`par_starmap!`](crate::par_starmap), but gives an [`AsyncResult`](crate::AsyncResult) at once, as
/// [`par_map_async!`](crate::par_map_async) does.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// # fn main() -> Result<(), Error> {
/// assert_eq!(par_starmap_async!(add, [(1, 2), (3, 4)])?.get()?, [3, 7]);
/// # Ok(())
/// # }
/// ```
pub use pool_macros::par_starmap_async;

/// As [`par_apply!`](crate::par_apply), but gives an [`AsyncResult`](crate::AsyncResult) at once, as
/// [`par_map_async!`](crate::par_map_async) does.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// # fn main() -> Result<(), Error> {
/// let sum = par_apply_async!(add(2, 3))?;
/// assert_eq!(sum.get()?, 5);
/// # Ok(())
/// # }
/// ```
pub use pool_macros::par_apply_async;

/// Notes a call that is to run elsewhere: in an initializer, or as a process of its own. Gives a [`Call`](crate::Call), or
/// with one `_` a [`PartialCall`](crate::PartialCall).
///
/// The arguments are encoded at once; when that fails, the error shows where the call is used.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn greet(name: &str, times: u32) -> String { name.repeat(times as usize) }
///
/// let call: Call<String> = task!(greet("you", 2));
/// let open: PartialCall<u32, String> = task!(greet("you", _));
/// # let _ = (call.clone(), open);
/// ```
pub use pool_macros::task;

/// Prints how long a function took, to stderr, when it returns: `name: 9.012 s`.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[elapsed]
/// fn sum(n: u64) -> u64 { (1..=n).sum() }
///
/// assert_eq!(sum(4), 10);
/// ```
pub use pool_macros::elapsed;
