//! A value that fails, panics or kills while it is turned into bytes or back, in the caller or in the worker, fails its item.

mod failing;

use failing::{sort, watchdog};
use pool_runtime::prelude::*;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Act {
    Nothing,
    Refuse,
    Panic,
    Exit,
    Abort,
    /// Writes more each time it is asked.
    Grow,
}

/// A value that acts when it is encoded and when it is decoded.
#[derive(Clone, Debug)]
struct Tricky {
    x: u64,
    encoding: Act,
    decoding: Act,
}

fn act(act: Act) -> Result<(), &'static str> {
    match act {
        Act::Nothing | Act::Grow => Ok(()),
        Act::Refuse => Err("it says no"),
        Act::Panic => panic!("it panics"),
        Act::Exit => std::process::exit(4),
        Act::Abort => std::process::abort(),
    }
}

struct Padding(Vec<u8>);

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Padding;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Padding, E> {
                Ok(Padding(bytes))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Padding, E> {
                Ok(Padding(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Any)
    }
}

impl Serialize for Tricky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        thread_local!(static SIZE: std::cell::Cell<usize> = const { std::cell::Cell::new(4 << 20) });
        act(self.encoding).map_err(S::Error::custom)?;
        let padding = if self.encoding == Act::Grow { SIZE.replace(SIZE.get() * 2) } else { 0 };
        let padding = Padding(vec![0_u8; padding]);
        (self.x, self.encoding, self.decoding, padding).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tricky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (x, encoding, decoding, _) = <(u64, Act, Act, Padding)>::deserialize(deserializer)?;
        act(decoding).map_err(D::Error::custom)?;
        Ok(Self { x, encoding, decoding })
    }
}

const VICTIM: u64 = 20;

fn tricky(x: u64, encoding: Act, decoding: Act) -> Tricky {
    let of = |act| if x == VICTIM { act } else { Act::Nothing };
    Tricky { x, encoding: of(encoding), decoding: of(decoding) }
}

#[pool_task]
fn take(value: Tricky) -> u64 {
    value.x
}

#[pool_task]
fn make(x: u64, encoding: Act, decoding: Act) -> Tricky {
    tricky(x, encoding, decoding)
}

#[pool_task]
fn both(x: u64, value: Tricky) -> u64 {
    x + value.x
}

fn pool() -> Pool {
    Pool::new(2).expect("a pool")
}

/// The one error among the outcomes of 60 items.
fn only<T>(outcomes: impl Iterator<Item = Result<T, Error>>) -> Error {
    let (values, mut errors) = sort(outcomes);
    assert_eq!((values.len(), errors.len()), (59, 1), "{errors:?}");
    let error = errors.remove(0);
    assert_eq!(error.index(), Some(20), "{error}");
    assert!(error.task().is_some(), "{error}");
    error
}

fn argument(pool: &Pool, encoding: Act, decoding: Act) -> Error {
    let items = (0..60).map(move |x| tricky(x, encoding, decoding));
    only(par_imap!(take, items; pool = pool).expect("a stream"))
}

fn result(pool: &Pool, encoding: Act, decoding: Act) -> Error {
    only(par_imap!(make(_, encoding, decoding), 0..60; pool = pool).expect("a stream"))
}

#[test]
fn error_at_task_pickle() {
    let _dog = watchdog(60);
    let pool = pool();
    let error = argument(&pool, Act::Refuse, Act::Nothing);
    assert_eq!((error.kind(), error.worker_pid()), (ErrorKind::Encode, None), "{error}");
    assert!(error.to_string().contains("it says no"), "{error}");
    let error = argument(&pool, Act::Panic, Act::Nothing);
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("it panics")));
    let error = argument(&pool, Act::Grow, Act::Nothing);
    assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
    // A map and a call that fails so leave the pool as it was.
    let items = (0..60).map(|x| tricky(x, Act::Panic, Act::Nothing));
    let error = par_map!(take, items; pool = &pool).expect_err("a failure");
    assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, Some(20)));
    let bad = || tricky(VICTIM, Act::Panic, Act::Nothing);
    let error = par_apply!(take(bad()); pool = &pool).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    let error = par_apply_async!(take(bad()); pool = &pool).and_then(AsyncResult::get);
    assert_eq!(error.expect_err("a failure").kind(), ErrorKind::Panicked);
    let error = par_map!(both(_, bad()), 0..5_u64; pool = &pool).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    let good = tricky(1, Act::Nothing, Act::Nothing);
    assert_eq!(par_apply!(take(good); pool = &pool).expect("a value"), 1);
}

#[test]
fn exit_at_task_unpickle() {
    let _dog = watchdog(60);
    let pool = pool();
    let error = argument(&pool, Act::Nothing, Act::Refuse);
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    assert!(error.worker_pid().is_some(), "{error}");
    let error = argument(&pool, Act::Nothing, Act::Panic);
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("it panics")));
    let error = argument(&pool, Act::Nothing, Act::Exit);
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::WorkerDied, Some(4)), "{error}");
}

#[test]
fn crash_at_task_unpickle() {
    let _dog = watchdog(60);
    let error = argument(&pool(), Act::Nothing, Act::Abort);
    assert_eq!((error.kind(), error.signal()), (ErrorKind::WorkerDied, Some(6)), "{error}");
}

#[test]
fn bound_argument_that_fails_in_the_worker_fails_every_item() {
    let _dog = watchdog(60);
    let pool = pool();
    for bad in [Act::Refuse, Act::Panic] {
        let bound = tricky(VICTIM, Act::Nothing, bad);
        let outcomes = par_imap!(both(_, bound), 0..60_u64; pool = &pool).expect("a stream");
        let (values, errors) = sort(outcomes);
        assert_eq!((values.len(), errors.len()), (0, 60));
    }
    let bound = tricky(VICTIM, Act::Nothing, Act::Exit);
    let outcomes = par_imap!(both(_, bound), 0..3_u64; pool = &pool).expect("a stream");
    let (_, errors) = sort(outcomes);
    assert!(
        errors.len() == 3 && errors.iter().all(|error| error.exit_code() == Some(4)),
        "{errors:?}"
    );
}

#[test]
fn error_and_crash_during_result_pickle_on_worker() {
    let _dog = watchdog(60);
    let pool = pool();
    let error = result(&pool, Act::Refuse, Act::Nothing);
    assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
    assert!(error.worker_pid().is_some(), "{error}");
    let error = result(&pool, Act::Panic, Act::Nothing);
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("it panics")));
    let error = result(&pool, Act::Exit, Act::Nothing);
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::WorkerDied, Some(4)), "{error}");
    let error = result(&pool, Act::Abort, Act::Nothing);
    assert_eq!((error.kind(), error.signal()), (ErrorKind::WorkerDied, Some(6)), "{error}");
    let error = result(&pool, Act::Grow, Act::Nothing);
    assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
}

#[test]
fn r3_r18_error_during_result_unpickle_in_the_caller() {
    let _dog = watchdog(60);
    let pool = pool();
    let error = result(&pool, Act::Nothing, Act::Refuse);
    assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    let error = result(&pool, Act::Nothing, Act::Panic);
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("it panics")));
    for bad in [Act::Refuse, Act::Panic] {
        let kind = if bad == Act::Panic { ErrorKind::Panicked } else { ErrorKind::Decode };
        let error = par_map!(make(_, Act::Nothing, bad), 0..60; pool = &pool);
        let error = error.expect_err("a failure");
        assert_eq!((error.kind(), error.index()), (kind, Some(20)));
        let error = par_apply!(make(VICTIM, Act::Nothing, bad); pool = &pool);
        assert_eq!(error.expect_err("a failure").kind(), kind);
        let later = par_apply_async!(make(VICTIM, Act::Nothing, bad); pool = &pool);
        assert_eq!(later.expect("a call").get().expect_err("a failure").kind(), kind);
        let later = par_map_async!(make(_, Act::Nothing, bad), 0..60_u64; pool = &pool);
        assert_eq!(later.expect("a job").get().expect_err("a failure").index(), Some(20));
    }
    assert_eq!(
        par_map!(make(_, Act::Nothing, Act::Refuse), 0..5; pool = &pool).expect("values").len(),
        5
    );
}

#[test]
fn unpickleable_result_twenty_times_loses_no_worker() {
    let _dog = watchdog(60);
    let pool = pool();
    let before = par_map!(make(_, Act::Nothing, Act::Nothing), 0..5; pool = &pool)
        .map(|_| pool.worker_pids());
    for _ in 0..20 {
        let error = par_apply!(make(VICTIM, Act::Refuse, Act::Nothing); pool = &pool);
        assert_eq!(error.expect_err("a failure").kind(), ErrorKind::Encode);
    }
    assert_eq!(before.expect("values"), pool.worker_pids());
}

/// Serde numbers these otherwise when it reads than when it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Course {
    #[serde(skip)]
    _Hidden,
    #[serde(alias = "Up", alias = "Upwards")]
    North,
    #[serde(skip)]
    _Cache(u32),
    South(u32),
    East {
        by: u8,
    },
}

#[pool_task]
fn turned(course: Course) -> Course {
    match course {
        Course::North => Course::South(7),
        Course::South(by) => Course::East { by: by as u8 },
        Course::East { .. } => Course::North,
        hidden => hidden,
    }
}

#[test]
fn a_variant_arrives_as_itself_though_others_are_skipped() {
    let courses = [Course::North, Course::South(3), Course::East { by: 9 }];
    let turned = par_map!(turned, courses.clone()).expect("values");
    assert_eq!(turned, courses.map(self::turned));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Renamed {
    First,
    #[serde(rename(serialize = "other", deserialize = "Second"))]
    Second(u8),
}

#[pool_task]
fn same(value: Renamed) -> Renamed {
    value
}

#[test]
fn a_variant_with_two_names_is_an_error_and_no_other_variant() {
    assert_eq!(par_apply!(same(Renamed::First)).expect("a value"), Renamed::First);
    let error = par_apply!(same(Renamed::Second(5))).expect_err("its number could be another's");
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("`Second`"), "{error}");
}

/// The places of the names shift by the alias, and the low 24 bits of two of them are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Alike {
    #[serde(alias = "node")]
    NodeTree,
    LeafType,
}

#[pool_task]
fn alike(value: Alike) -> Alike {
    value
}

#[test]
fn a_variant_that_could_be_two_is_an_error() {
    assert_eq!(par_apply!(alike(Alike::NodeTree)).expect("a value"), Alike::NodeTree);
    assert_eq!(par_apply!(alike(Alike::LeafType)).expect_err("unclear").kind(), ErrorKind::Decode);
}

/// Each side has as many fields as the other, and they are not the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    #[serde(skip_serializing, default)]
    password: u32,
    name: u32,
    #[serde(skip_deserializing)]
    id: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Account {
    Of {
        #[serde(skip_serializing, default)]
        password: u32,
        name: u32,
        #[serde(skip_deserializing)]
        id: u32,
    },
}

#[pool_task]
fn name_of(users: &[User]) -> u32 {
    users.iter().map(|user| user.name).sum()
}

#[pool_task]
fn name_in(account: Account) -> u32 {
    let Account::Of { name, .. } = account;
    name
}

#[pool_task]
fn name_in_json(user: Json<User>) -> u32 {
    user.0.name
}

#[test]
fn a_field_that_only_one_side_has_is_an_error_and_no_other_field() {
    let user = User { password: 1, name: 2, id: 3 };
    let errors = [
        par_apply!(name_of(vec![user.clone(); 2])).expect_err("refused"),
        par_apply!(name_in(Account::Of { password: 1, name: 2, id: 3 })).expect_err("refused"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Decode);
        let text = error.to_string();
        assert!(text.contains("`password`") && text.contains("Json<T>"), "{text}");
    }
    assert_eq!(par_apply!(name_in_json(Json(user))).expect("a value"), 2);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sparse {
    before: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    perhaps: Option<u8>,
}

#[pool_task]
fn perhaps(all: Vec<Sparse>) -> usize {
    all.iter().filter(|one| one.perhaps.is_some()).count()
}

#[test]
fn a_field_that_is_left_out_is_an_error_that_names_it() {
    let whole = Sparse { before: 1, perhaps: Some(2) };
    assert_eq!(par_apply!(perhaps(vec![whole.clone()])).expect("a value"), 1);
    let error = par_apply!(perhaps(vec![Sparse { perhaps: None, ..whole }])).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Encode);
    let text = error.to_string();
    assert!(text.contains("`perhaps`") && text.contains("Json<T>"), "{text}");
}
