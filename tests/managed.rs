//! `#[managed]`: objects of the user's own types in the server.

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    total: u64,
    log: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Mark {
    Low(u64),
    High { by: u64 },
}

#[managed]
impl Counter {
    /// Not exposed: it has no object.
    pub fn starting_at(total: u64) -> Self {
        Self { total, log: Vec::new() }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.note(n);
        self.total += n;
        self.total
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    fn note(&mut self, n: u64) {
        self.log.push(format!("+{n}"));
    }

    pub fn log(&self) -> Vec<String> {
        self.log.clone()
    }

    pub fn every_form(
        &mut self,
        word: &str,
        numbers: &[f64],
        names: &[String],
        mark: &Mark,
        owned: Option<Mark>,
    ) -> String {
        format!("{word} {numbers:?} {names:?} {mark:?} {owned:?}")
    }

    pub fn fail(&self, why: String) -> Result<u64, String> {
        Err(why)
    }

    pub fn explode(&mut self) {
        self.total += 1;
        panic!("the {}. explosion", self.total);
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn ask(&self, other: Proxy<Counter>) -> Result<u64, ErrorKind> {
        other.total().map_err(|error| error.kind())
    }
}

fn counter() -> (Manager, Proxy<Counter>) {
    let m = Manager::start().expect("a server");
    let counter = m.create(Counter::starting_at(10)).expect("an object");
    (m, counter)
}

#[test]
fn a_method_that_calls_its_own_object_is_told_so() {
    let (m, c) = counter();
    let other = m.create(Counter::starting_at(5)).expect("an object");
    assert_eq!(c.ask(other).expect("it answers"), Ok(5));
    assert_eq!(c.ask(c.clone()).expect("it answers"), Err(ErrorKind::Deadlock));
    assert_eq!(c.total().expect("it goes on"), 10);
}

// _TestMyManager.test_mymanager: a registered type, its exposed part, and nothing else.
#[test]
fn methods_run_in_the_server_on_one_object() {
    let (_m, c) = counter();
    assert_eq!(c.add(3).expect("add"), 13);
    assert_eq!(c.clone().add(4).expect("add"), 17);
    assert_eq!(c.total().expect("total"), 17);
    assert_eq!(c.log().expect("log"), ["+3", "+4"]);
    assert_ne!(c.pid().expect("pid"), std::process::id());
}

#[test]
fn parameters_come_in_every_form() {
    let (_m, c) = counter();
    let mark = Mark::High { by: 2 };
    let names = vec!["a".to_owned()];
    let expected = r#"w [1.5, 2.0] ["a"] High { by: 2 } Some(Low(1))"#;
    assert_eq!(
        c.every_form("w", [1.5, 2.0], &names, &mark, Some(Mark::Low(1))).expect("by reference"),
        expected
    );
    assert_eq!(
        c.every_form("w", vec![1.5, 2.0], names, mark, Some(Mark::Low(1))).expect("by value"),
        expected
    );
}

// _TestMyManager.test_mymanager: a ValueError of a method comes back. A `Result` is a value like any other.
#[test]
fn a_result_is_a_value_and_a_panic_an_error_of_that_call() {
    let (_m, c) = counter();
    assert_eq!(c.fail("no".into()).expect("the call itself went well"), Err("no".to_owned()));
    let error = c.explode().expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(error.panic_message(), Some("the 11. explosion"));
    assert!(error.panic_location().is_some_and(|place| place.contains("managed.rs")));
    assert_eq!(c.total().expect("the object is still there"), 11);
}

#[pool_task]
fn add_often(c: Proxy<Counter>, times: u64) -> Result<(), Error> {
    for _ in 0..times {
        c.add(1)?;
    }
    Ok(())
}

#[test]
fn a_proxy_goes_to_workers() {
    let (m, c) = counter();
    let pool = Pool::new(2).expect("a pool");
    for done in par_map!(add_often(c.clone(), _), [100, 200, 300]; pool = &pool).expect("the map") {
        done.expect("every call");
    }
    assert_eq!(c.total().expect("total"), 610);
    drop((c, pool));
    assert_eq!(m.objects().expect("count"), 0);
}

#[derive(Serialize, Deserialize)]
struct Keeper {
    held: Option<Proxy<Counter>>,
}

#[managed]
impl Keeper {
    pub fn keep(&mut self, counter: Proxy<Counter>) {
        self.held = Some(counter);
    }

    pub fn give(&self) -> Option<Proxy<Counter>> {
        self.held.clone()
    }

    pub fn r#use(&self, n: u64) -> Result<u64, Error> {
        self.held.as_ref().map_or(Ok(0), |counter| counter.add(n))
    }
}

#[test]
fn an_object_may_hold_proxies_of_others() {
    let (m, c) = counter();
    let keeper = m.create(Keeper { held: None }).expect("an object");
    keeper.keep(c).expect("keep");
    assert_eq!(keeper.r#use(5).expect("the call").expect("the call inside"), 15);
    let back = keeper.give().expect("give").expect("it was kept");
    drop(keeper);
    assert_eq!(back.total().expect("total"), 15);
}

// _TestMyManager.test_mymanager: what is not exposed is an error, and no more.
#[test]
fn a_proxy_of_another_type_finds_no_methods() {
    let (m, c) = counter();
    let ns = m.namespace().expect("a namespace");
    ns.set("it", c.clone()).expect("set");
    let confused = ns.get::<Proxy<Keeper>>("it").expect("a proxy is a proxy");
    assert_eq!(confused.give().expect_err("a counter gives nothing").kind(), ErrorKind::NotFound);
    assert_eq!(c.total().expect("total"), 10);
}
