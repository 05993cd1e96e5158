//! The program that the size of the other one is compared with.

fn main() {
    println!("hello");
}
