#[test]
fn in_an_integration_test() {
    programs::check();
}

#[test]
fn in_another_beside_it() {
    programs::check();
}
