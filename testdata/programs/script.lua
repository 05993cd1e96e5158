-- What a language does in a day, with an output that never varies: no address, no clock, no order of a hash table.

local function section(title) io.write("== ", title, "\n") end

section("arithmetic")
print(7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 / 2, 2 ^ 10, 1e15, 2 ^ 53 == 2 ^ 53 + 1)
print(math.maxinteger + 1 == math.mininteger, math.type(1), math.type(1.0), math.tointeger(3.0))
print(0xff ~ 0x0f, 1 << 62, ~0, 5 & 3, 5 | 3, -1 >> 60)
print(math.floor(-3.5), math.ceil(-3.5), math.fmod(-7, 3), math.abs(-4), math.ult(1, -1))
print(string.format("%.6f %.6f %.6f %.6f", math.sin(1), math.exp(1), math.log(10), math.sqrt(2)))
print(1 / 0, -1 / 0, 0 / 0 ~= 0 / 0, math.pi)

section("strings")
print(string.format("%5d|%-8s|%08.3f|%x|%q|%s", 42, "left", 3.14159, 255, "a\nb", {} ~= nil))
print(("hello world"):gsub("o", "0"), ("key = value"):match("^(%w+)%s*=%s*(%w+)$"))
for word, digits in ("one1 two22 three333"):gmatch("(%a+)(%d+)") do io.write(word, ":", #digits, " ") end
print(("x"):rep(5, "-"), ("abc"):reverse(), ("abc"):byte(1, -1), utf8.char(228, 8364), utf8.len("äö€"))
print(string.pack("<i4z", 258, "end"):byte(1, -1))
print(tostring(nil), tostring(12), tonumber("0x10"), tonumber("10", 2), tonumber("nothing"))

section("tables")
local list = {}
for i = 1, 10 do list[i] = (i * 7) % 11 end
table.sort(list, function(a, b) return a > b end)
print(table.concat(list, ","), #list, select("#", table.unpack(list)))
table.insert(list, 1, 99)
print(table.remove(list), table.remove(list, 1), #list, next({}))
local counts, names = {}, {}
for letter in ("mississippi"):gmatch(".") do counts[letter] = (counts[letter] or 0) + 1 end
for name in pairs(counts) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do io.write(name, counts[name], " ") end
print()

section("closures")
local function counter()
    local n = 0
    return function() n = n + 1 return n end, function() return n end
end
local up, now = counter()
up() up()
print(up(), now(), (function(...) return select("#", ...) end)(nil, nil))
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(22))

section("metatables")
local Vector = {}
Vector.__index = Vector
Vector.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Vector) end
Vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
Vector.__lt = function(a, b) return a:length() < b:length() end
Vector.__tostring = function(v) return string.format("(%g, %g)", v.x, v.y) end
Vector.__call = function(v, factor) return setmetatable({ x = v.x * factor, y = v.y * factor }, Vector) end
Vector.__len = function() return 2 end
Vector.__concat = function(a, b) return tostring(a) .. tostring(b) end
function Vector:length() return (self.x ^ 2 + self.y ^ 2) ^ 0.5 end
local function vector(x, y) return setmetatable({ x = x, y = y }, Vector) end
local v = vector(3, 4)
print(tostring(v + vector(1, 1)), v:length(), v == vector(3, 4), v < v(2), #v, v .. v(10))
local defaults = setmetatable({}, { __index = function(_, key) return key .. "?" end, __newindex = function() error("read only", 0) end })
print(defaults.anything, pcall(function() defaults.x = 1 end))

section("coroutines")
local function producer(n)
    return coroutine.wrap(function() for i = 1, n do coroutine.yield(i, i * i) end return "done" end)
end
local produce = producer(3)
print(produce()) print(produce()) print(produce()) print(produce())
local sum = coroutine.create(function(a)
    while true do a = a + coroutine.yield(a) end
end)
for i = 1, 5 do io.write(select(2, coroutine.resume(sum, i)), " ") end
print(coroutine.status(sum), coroutine.close(sum), coroutine.status(sum), coroutine.resume(sum))
print(coroutine.resume(coroutine.create(function() error({ code = 5 }) end)) == false, coroutine.isyieldable())

section("errors")
print(pcall(error, "plain", 0))
print(pcall(function() local t = nil return t.field end))
print(select(2, pcall(error, { code = 17 })).code, pcall(error))
print(xpcall(function() error("deep", 0) end, function(message) return "handled " .. message end))
local function nested(depth)
    if depth == 0 then error("bottom", 0) end
    local ok, message = pcall(nested, depth - 1)
    error(message .. "<" .. depth, 0)
end
print(pcall(nested, 5))
print((select(2, pcall(function() local function loop() return 1 + loop() end return loop() end))):match("stack overflow"))
print(load("return 1 +"))
print(load("local a, b = ... return a * b")(6, 7))

section("goto")
for i = 1, 3 do
    for j = 1, 3 do
        if j == 2 then goto continue end
        if i == 3 then goto finish end
        io.write(i, "/", j, " ")
        ::continue::
    end
end
::finish::
print()

section("garbage")
local collected = 0
for _ = 1, 100 do setmetatable({}, { __gc = function() collected = collected + 1 end }) end
local weak = setmetatable({}, { __mode = "v" })
weak[1], weak[2] = {}, "kept"
for i = 1, 20000 do local _ = { i, tostring(i), { i } } end
collectgarbage()
collectgarbage("generational")
for i = 1, 20000 do local _ = { i, i .. "x" } end
collectgarbage()
print(collected, weak[1], weak[2], collectgarbage("count") < 4096)
do
    local closing <close> = setmetatable({}, { __close = function(_, cause) print("closed", cause) end })
    local fixed <const> = 3
    print("in scope", fixed)
end

section("sieve")
local composite, primes = {}, 0
for i = 2, 20000 do
    if not composite[i] then
        primes = primes + 1
        for j = i * i, 20000, i do composite[j] = true end
    end
end
print(primes)

section("files")
local file = assert(io.tmpfile())
file:write("first\n", 2, "\n", 3.5, "\nlast")
file:seek("set")
print(file:read("l", "n", "n", "l", "a"))
file:close()
print(io.open("/no/such/file"))
print(os.time({ year = 2000, month = 1, day = 1, hour = 12 }) - os.time({ year = 1999, month = 12, day = 31, hour = 12 }))

section("arguments")
print(#arg, table.concat(arg, " "), select("#", ...), ...)

io.stderr:write("a line on the standard error\n")
setmetatable({}, { __gc = function() io.write("collected at the end\n") end })
os.exit(7, true)
