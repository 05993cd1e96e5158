// inventory_main [uncaught | exit | quick_exit]: what C++ programs do, in two modules.
//
// The argument chooses how it ends; without one, main returns 3.

#include "inventory.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <optional>
#include <sstream>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <variant>

namespace {

struct Registered {
    Registered() { journal.push_back("inventory_main.cpp constructed"); }
    ~Registered() { std::puts("inventory_main.cpp destroyed"); }
} registered;

struct Marked : virtual Item {
    Marked() : Item("marked") {}
    double price(int) const override { return 1.25; }
};

struct MarkedBulk : Marked, Bulk {
    MarkedBulk() : Item("both"), Bulk("both", 2.0) {}
    double price(int quantity) const override { return Marked::price(quantity) + Bulk::price(quantity); }
};

void exceptions(Inventory &inventory) {
    try {
        inventory.take("bolt", 1000);
    } catch (const OutOfStock &error) {
        std::cout << error.what() << ", " << error.missing << " missing\n";
    }
    try {
        inventory.take("nothing", 1);
    } catch (const std::exception &error) {
        std::cout << (dynamic_cast<const std::out_of_range *>(&error) != nullptr ? "out of range\n" : "another error\n");
    }
    std::cout << "alive: " << Counted<std::string>::alive << "\n";

    // Thrown here, through the other module, and caught here again.
    try {
        int answer = 42;
        with_journal("callback", [](void *context) { throw *static_cast<int *>(context); }, &answer);
    } catch (int number) {
        std::cout << "caught " << number << "\n";
    }

    try {
        try {
            inventory.take("bolt", 2000);
        } catch (...) {
            std::throw_with_nested(std::logic_error("order failed"));
        }
    } catch (const std::logic_error &error) {
        std::cout << error.what();
        try {
            std::rethrow_if_nested(error);
        } catch (const OutOfStock &cause) {
            std::cout << " because " << cause.what() << "\n";
        }
    }

    std::exception_ptr kept;
    try {
        std::string().at(5);
    } catch (...) {
        kept = std::current_exception();
    }
    try {
        std::rethrow_exception(kept);
    } catch (const std::out_of_range &) {
        std::cout << "kept and thrown again\n";
    }
}

void types(const Item &item) {
    const auto *bulk = dynamic_cast<const Bulk *>(&item);
    std::cout << item.describe() << ": " << (bulk != nullptr ? "bulk" : "single") << ", "
              << (typeid(item) == typeid(MarkedBulk) ? "both" : "one") << ", " << std::fixed << std::setprecision(2)
              << item.price(10) << "\n";
}

void library() {
    std::unordered_map<std::string, int> words;
    std::istringstream text("the way of the data is the way of the code");
    for (std::string word; text >> word;) ++words[word];
    std::vector<std::pair<std::string, int>> sorted(words.begin(), words.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    for (const auto &[word, count] : sorted) std::cout << word << "=" << count << " ";
    std::cout << "\n";

    std::vector<int> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 1);
    std::function<int(int)> square = [offset = numbers.front()](int n) { return n * n + offset; };
    std::cout << std::accumulate(numbers.begin(), numbers.end(), 0, [&](int sum, int n) { return sum + square(n); }) << "\n";

    std::variant<int, std::string> either = std::string("a string that does not fit in place, so it is on the heap");
    std::optional<double> nothing;
    std::cout << std::visit([](const auto &value) { std::ostringstream out; out << value; return out.str().size(); }, either)
              << " " << nothing.value_or(0.5) << " " << std::stod("2.5") + std::stoi("-7") << "\n";
    try {
        std::cout << std::get<int>(either);
    } catch (const std::bad_variant_access &) {
        std::cout << "no number in it\n";
    }
}

}  // namespace

int main(int argc, char **argv) {
    std::atexit([] { std::puts("atexit"); });
    {
        Inventory inventory;
        inventory.add(std::make_shared<Bulk>("bolt", 0.25), 100);
        inventory.add(std::make_shared<Marked>(), 1);
        inventory.add(std::make_shared<MarkedBulk>(), 5);
        inventory.add(std::make_shared<Bulk>("bolt", 9.0), 1);
        std::cout << inventory.take("bolt", 40) << " " << inventory.take("both", 2) << "\n";
        exceptions(inventory);
        inventory.each([](const Item &item, int left) { std::cout << left << " left of "; types(item); });
        library();
    }
    for (const std::string &line : journal) std::cout << "- " << line << "\n";
    std::cout << "next serial " << next_serial() << std::endl;

    std::string_view end = argc > 1 ? argv[1] : "";
    if (end == "uncaught") throw OutOfStock("patience", 1);
    if (end == "exit") std::exit(4);
    if (end == "quick_exit") {
        std::at_quick_exit([] { std::puts("at_quick_exit"); std::fflush(stdout); });
        std::quick_exit(5);
    }
    return 3;
}
