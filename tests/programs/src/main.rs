//! The first thing it does is to make a pool. What it does then, its argument says.

use pool_runtime::prelude::*;
use programs::square;

fn main() {
    let pool = Pool::new(3).unwrap();
    println!("main was reached");
    match std::env::args().nth(1).as_deref() {
        Some("family") => println!("family {}", family()),
        Some("replaced") => {
            // Its file is gone, or another one, when more workers are started.
            let path = std::env::current_exe().unwrap();
            std::fs::remove_file(&path).unwrap();
            programs::check();
            std::fs::write(&path, "not a program").unwrap();
            programs::check();
        }
        _ => programs::check(),
    }
    assert_eq!(par_map!(square, 0..4; pool = pool).unwrap(), [0, 1, 4, 9]);
    println!("fine");
}

/// This process and all below it.
fn family() -> usize {
    fn count(pid: u32) -> usize {
        let below = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_ascii_whitespace().map(|pid| count(pid.parse().unwrap())).sum::<usize>()
        };
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
        1 + tasks.flatten().map(below).sum::<usize>()
    }
    programs::check();
    count(std::process::id())
}
