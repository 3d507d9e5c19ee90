fn main() {
    programs::check();
    println!("fine");
}
