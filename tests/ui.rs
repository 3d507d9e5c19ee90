//! What the macros refuse, and in which words: each `ui/*.rs` does not compile, and says what stands in its `.stderr`.

#[test]
fn refusals() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
