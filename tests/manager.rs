//! The manager: its containers, who keeps what alive, and what happens when somebody dies.

use std::time::Duration;

use pool_runtime::prelude::*;

/// Longer than anything here takes, shorter than a test run may hang.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_dict_is_a_map() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<String, u64>().expect("a dict");
    assert_eq!(d.insert("a".into(), 1).expect("insert"), None);
    assert_eq!(d.insert("a".into(), 2).expect("insert"), Some(1));
    assert_eq!(d.get("a").expect("get"), Some(2));
    assert_eq!(d.get(&"b".to_owned()).expect("get"), None);
    assert!(d.contains_key("a").expect("contains_key"));
    d.update((0..100).map(|n| (format!("k{n}"), n))).expect("update");
    assert_eq!(d.len().expect("len"), 101);
    let mut items = d.items().expect("items");
    items.sort();
    assert_eq!(items[0], ("a".to_owned(), 2));
    assert_eq!(d.keys().expect("keys").len(), d.values().expect("values").len());
    assert_eq!(d.remove("k7").expect("remove"), Some(7));
    assert_eq!(d.remove("k7").expect("remove"), None);
    d.clear().expect("clear");
    assert!(d.is_empty().expect("is_empty"));
}

#[pool_task]
fn fill(d: Dict<String, u64>, l: List<u64>, n: u64) -> Result<u64, Error> {
    d.insert(format!("{n}"), n * n)?;
    l.push(n)?;
    Ok(n)
}

// TestSyncManagerTypes.test_list, test_dict: children see and change what the parent made.
#[test]
fn workers_share_a_dict_and_a_list() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<String, u64>().expect("a dict");
    let l = m.list::<u64>().expect("a list");
    let pool = Pool::new(2).expect("a pool");
    let done = par_map!(fill(d.clone(), l.clone(), _), 0..50; pool = &pool).expect("the map");
    assert!(done.into_iter().all(|done| done.is_ok()));
    assert_eq!(d.get("7").expect("get"), Some(49));
    let mut seen = l.to_vec().expect("to_vec");
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..50));
}
