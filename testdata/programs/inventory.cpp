// The inventory's own module: throws what inventory_main.cpp catches.

#include "inventory.hpp"

#include <cstdio>

namespace {

struct Registered {
    Registered() { journal.push_back("inventory.cpp constructed"); }
    ~Registered() { std::puts("inventory.cpp destroyed"); }
} registered;

__attribute__((constructor(200))) void early() { std::puts("constructor with priority 200"); }
__attribute__((constructor(101))) void earlier() { std::puts("constructor with priority 101"); }
__attribute__((destructor)) void last() { std::puts("destructor function"); }

struct Entry {
    std::string what;
    explicit Entry(const std::string &what) : what(what) { journal.push_back("enter " + what); }
    ~Entry() { journal.push_back("leave " + what); }
};

}  // namespace

Item::~Item() { journal.push_back("gone: " + name); }

void Inventory::add(std::shared_ptr<Item> item, int quantity) {
    auto [place, is_new] = entries.try_emplace(item->name, item, 0);
    place->second.second += quantity;
    journal.push_back((is_new ? "new: " : "more: ") + item->describe());
}

double Inventory::take(const std::string &name, int quantity) {
    Counted<std::string> counted(name);
    auto &[item, left] = entries.at(name);
    if (left < quantity) throw OutOfStock(name, quantity - left);
    left -= quantity;
    return item->price(quantity);
}

void with_journal(const std::string &what, void (*visit)(void *), void *context) {
    Entry entry(what);
    visit(context);
}
