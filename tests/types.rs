//! Values of every type that serde knows, both ways; what needs a self-describing format is an error, and `Json` carries it.

mod common;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{watchdog, workers};
use pool_runtime::bytemuck;
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Newtype(u8);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Shape {
    Nothing,
    Circle(Point, f64),
    Path { points: Vec<Point>, closed: bool },
    Group(Vec<Shape>),
}

/// One task that gives back what it is given, and one test of it per type.
macro_rules! echoes {
    ($($name:ident: $type:ty = $($value:expr),+;)*) => {$(
        #[test]
        fn $name() {
            #[pool_task]
            fn echo(value: $type) -> $type {
                value
            }

            let (_dog, pool) = (watchdog(), workers(2));
            let values: Vec<$type> = vec![$($value),+];
            assert_eq!(par_map!(echo, &values; pool = pool).unwrap(), values);
            assert_eq!(par_map!(echo, values.clone(); pool = pool).unwrap(), values);
            for value in values {
                assert_eq!(par_apply!(echo(value.clone()); pool = pool).unwrap(), value);
            }
        }
    )*};
}

echoes! {
    integers: (u8, i16, u32, i64, u128, i128, usize) = (1, -2, 3, -4, u128::MAX, i128::MIN, 5);
    plain_integers: i64 = i64::MIN, -1, 0, i64::MAX;
    floats: f64 = 0.0, -1.5, f64::INFINITY, f64::MIN_POSITIVE;
    truth: bool = true, false;
    characters: char = 'a', 'ß', '\u{10FFFF}', '\0';
    unit: () = (), ();
    unit_structs: Unit = Unit, Unit;
    newtypes: Newtype = Newtype(0), Newtype(255);
    structs: Point = Point { x: 1.0, y: -2.0 };
    enums: Shape = Shape::Nothing,
        Shape::Circle(Point { x: 0.0, y: 0.0 }, 2.0),
        Shape::Path { points: vec![Point { x: 1.0, y: 2.0 }; 3], closed: true },
        Shape::Group(vec![Shape::Nothing, Shape::Group(vec![])]);
    options: Option<Option<String>> = None, Some(None), Some(Some("x".into()));
    results: Result<u32, String> = Ok(1), Err("no".into());
    texts: String = String::new(), "plain".into(), "äöü \0 \u{1F600}".into();
    paths: PathBuf = PathBuf::new(), PathBuf::from("/a/b c/ü");
    tuples: (u8, (String, Option<i32>), [u16; 3]) = (1, ("x".into(), Some(-1)), [1, 2, 3]);
    numbers: Vec<f32> = vec![], vec![1.0], vec![0.5; 1000];
    nested: Vec<Vec<Vec<u8>>> = vec![], vec![vec![], vec![vec![1], vec![]]];
    ordered_maps: BTreeMap<String, Vec<i32>> = BTreeMap::new(), BTreeMap::from([("a".into(), vec![1])]);
    maps: HashMap<u32, String> = HashMap::new(), (0..100).map(|x| (x, x.to_string())).collect();
    sets: HashSet<i8> = HashSet::new(), HashSet::from([1, 2, 3]);
    deques: VecDeque<u8> = VecDeque::from([1, 2, 3]);
    boxes: Box<Shape> = Box::new(Shape::Nothing);
    durations: Duration = Duration::ZERO, Duration::from_nanos(1_500_000_001);
    maybe_owned: Cow<'static, str> = Cow::Borrowed("a"), Cow::Owned("b".into());
    maybe_owned_inside: (Vec<Cow<'static, str>>, Option<Cow<'static, [u8]>>) =
        (vec!["a".into(), String::from("b").into()], Some(vec![1, 2].into())), (vec![], None);
    addresses: IpAddr = "127.0.0.1".parse().unwrap(), "::1".parse().unwrap();
}

#[test]
fn not_a_number_stays_what_it_is() {
    #[pool_task]
    fn bits(x: f64) -> u64 {
        x.to_bits()
    }

    let (_dog, pool) = (watchdog(), workers(1));
    let odd = f64::from_bits(0x7ff8_dead_beef_0001);
    assert_eq!(par_map!(bits, [odd, -0.0]; pool = pool).unwrap(), [odd.to_bits(), 1 << 63]);
}

#[pool_task]
fn describe(name: &str, numbers: &[i32], point: &Point, rest: &[String]) -> String {
    format!("{name} {numbers:?} {} {rest:?}", point.x)
}

#[test]
fn references_are_lent_for_the_call() {
    let (_dog, pool) = (watchdog(), workers(2));
    let point = Point { x: 0.5, y: 0.0 };
    let expected = "n [1, 2] 0.5 [\"r\"]";
    let said = par_apply!(describe("n", &[1, 2], &point, &["r".to_owned()]); pool = pool);
    assert_eq!(said.unwrap(), expected);
    let owned = par_apply!(
        describe("n".to_owned(), vec![1, 2], point.clone(), vec!["r".to_owned()]); pool = pool
    );
    assert_eq!(owned.unwrap(), expected);
    let names = ["a", "b"];
    let all = par_map!(describe(_, [3], &point, []), names; pool = pool).unwrap();
    assert_eq!(all, ["a [3] 0.5 []", "b [3] 0.5 []"]);
}

#[test]
fn a_result_is_a_value_like_any_other() {
    #[pool_task]
    fn parse(text: &str) -> Result<i32, String> {
        text.parse().map_err(|error: std::num::ParseIntError| error.to_string())
    }

    let (_dog, pool) = (watchdog(), workers(2));
    let parsed = par_map!(parse, ["1", "x", "3"]; pool = pool).unwrap();
    assert_eq!(parsed[0], Ok(1));
    assert!(parsed[1].as_ref().unwrap_err().contains("invalid digit"));
    assert_eq!(parsed[2], Ok(3), "an item behind an `Err` value has its result");
}

#[test]
fn an_error_of_the_pool_is_a_value_too() {
    #[pool_task]
    fn again(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, "as asked"))
    }

    let (_dog, pool) = (watchdog(), workers(1));
    let error = par_apply!(again(ErrorKind::Full); pool = pool).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Full, "full: as asked".to_owned()));
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Job {
    id: Id,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

#[pool_task]
fn bare(id: Id) -> Id {
    id
}

#[pool_task]
fn flattened(job: Job) -> Job {
    job
}

#[pool_task]
fn wrapped(job: Json<Job>) -> Json<Job> {
    job
}

#[pool_task]
fn makes_untagged(text: &str) -> Id {
    Id::Text(text.to_owned())
}

#[test]
fn types_that_describe_themselves_are_an_error() {
    let (_dog, pool) = (watchdog(), workers(1));
    let job = Job { id: Id::Number(1), rest: BTreeMap::from([("a".into(), 1)]) };
    let argument = par_apply!(bare(Id::Number(1)); pool = pool).unwrap_err();
    assert_eq!(argument.kind(), ErrorKind::Decode, "{argument}");
    let result = par_apply!(makes_untagged("x"); pool = pool).unwrap_err();
    assert_eq!(result.kind(), ErrorKind::Decode, "{result}");
    let flat = par_apply!(flattened(job); pool = pool).unwrap_err();
    assert!(matches!(flat.kind(), ErrorKind::Encode | ErrorKind::Decode), "{flat}");
    assert!([argument, result, flat].iter().all(|error| error.to_string().contains("Json")));
}

#[test]
fn json_carries_them() {
    let (_dog, pool) = (watchdog(), workers(2));
    let job = |id| Json(Job { id, rest: BTreeMap::from([("a".into(), 1)]) });
    let jobs = [job(Id::Number(1)), job(Id::Text("x".into()))];
    assert_eq!(par_map!(wrapped, jobs.clone(); pool = pool).unwrap(), jobs);
}

#[test]
fn a_path_that_is_borrowed_is_given_as_its_owner() {
    #[pool_task]
    fn extension(path: PathBuf) -> Option<String> {
        path.extension().map(|extension| extension.to_string_lossy().into_owned())
    }

    let (_dog, pool) = (watchdog(), workers(1));
    let found =
        par_map!(extension, ["a.rs", "b"].map(|path| Path::new(path).to_owned()); pool = pool);
    assert_eq!(found.unwrap(), [Some("rs".to_owned()), None]);
}

#[pool_task]
fn shout(word: Cow<'static, str>) -> Cow<'static, str> {
    if word.is_empty() { "nothing".into() } else { word.to_uppercase().into() }
}

#[test]
fn what_may_own_what_it_holds_is_owned_where_it_arrives() {
    #[pool_task]
    fn all(words: &[Cow<'static, str>], last: Option<Cow<'static, str>>) -> String {
        format!("{}{last:?}", words.concat())
    }

    let (_dog, pool) = (watchdog(), workers(2));
    let words: [Cow<'static, str>; 3] = ["a".into(), String::from("b").into(), "".into()];
    let shouted = par_map!(shout, words.clone(); pool = pool).unwrap();
    assert_eq!(shouted, ["A", "B", "nothing"]);
    assert_eq!(par_apply!(shout("c".into()); pool = pool).unwrap(), "C");
    assert_eq!(par_apply!(all(&words, None); pool = pool).unwrap(), "abNone");
}

/// Aligned to more than the items of a job are.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "pool_runtime::bytemuck")]
#[repr(C, align(32))]
struct Lane {
    x: [f32; 8],
}

#[pool_task]
fn add_lanes(factor: f32, lanes: &[Lane], more: &[Lane]) -> f32 {
    assert!(lanes.as_ptr().is_aligned() && more.as_ptr().is_aligned());
    factor * lanes.iter().chain(more).flat_map(|lane| lane.x).sum::<f32>()
}

#[test]
fn slices_of_widely_aligned_numbers() {
    let (_dog, pool) = (watchdog(), workers(2));
    let one = Lane { x: [1.0; 8] };
    let lanes = [vec![one; 3], vec![], vec![one]];
    let sums = par_map!(add_lanes(1.0, _, []), &lanes; pool = pool).unwrap();
    assert_eq!(sums, [24.0, 0.0, 8.0]);
    let factors = (0..100).map(|factor| factor as f32);
    let sums = par_map!(add_lanes(_, &lanes[0], &[one]), factors.clone(); pool = pool).unwrap();
    assert_eq!(sums, factors.map(|factor| factor * 32.0).collect::<Vec<_>>());
    let sum = par_apply!(add_lanes(1.0, &[one, one], &lanes[2]); pool = pool);
    assert_eq!(sum.unwrap(), 24.0);
    let buffer = SharedBuffer::from_slice(&[one; 5]).unwrap();
    let sums = par_map!(add_lanes(1.0, _, &[one]), buffer.split(2); pool = pool).unwrap();
    assert_eq!(sums, [32.0, 24.0]);
}
