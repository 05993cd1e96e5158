// What the two modules of the inventory share: inline functions and variables that exist once in the whole program,
// templates that both instantiate, and types whose identity has to hold across both.

#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

/// Counts through both modules: the local static exists once.
inline int next_serial() {
    static int serial = 100;
    return ++serial;
}

/// What happened so far, in order. An inline variable with a constructor: constructed once, whichever module is first.
inline std::vector<std::string> journal;

template <typename T>
struct Counted {
    static inline int alive = 0;
    T value;
    explicit Counted(T value) : value(std::move(value)) { ++alive; }
    Counted(const Counted &other) : value(other.value) { ++alive; }
    ~Counted() { --alive; }
};

class Item {
  public:
    explicit Item(std::string name) : name(std::move(name)), serial(next_serial()) {}
    virtual ~Item();  // The key function: the virtual table is in inventory.cpp alone.
    virtual double price(int quantity) const = 0;
    virtual std::string describe() const { return name + "#" + std::to_string(serial); }

    const std::string name;
    const int serial;
};

class Bulk : public virtual Item {
  public:
    Bulk(std::string name, double each) : Item(std::move(name)), each(each) {}
    double price(int quantity) const override { return each * quantity * (quantity >= 10 ? 0.5 : 1.0); }
    double each;
};

struct OutOfStock : std::runtime_error {
    OutOfStock(const std::string &name, int missing) : std::runtime_error("out of stock: " + name), missing(missing) {}
    int missing;
};

class Inventory {
  public:
    void add(std::shared_ptr<Item> item, int quantity);
    /// Throws OutOfStock when there is not enough, std::out_of_range when there is no such item.
    double take(const std::string &name, int quantity);
    template <typename Visit>
    void each(Visit visit) const {
        for (const auto &[name, entry] : entries) visit(*entry.first, entry.second);
    }

  private:
    std::map<std::string, std::pair<std::shared_ptr<Item>, int>> entries;
};

/// Calls back through this module: what `visit` throws passes through it, and its own objects are destroyed.
void with_journal(const std::string &what, void (*visit)(void *), void *context);
