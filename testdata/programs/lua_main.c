// lua_main SCRIPT [ARG...]: runs a script with Lua's standard library, as the interpreter does that Lua comes with.
//
// The script finds its arguments in the table `arg` and as `...`. An error that it does not catch is written to the
// standard error with a traceback, and the exit status is 1.

#include <stdio.h>
#include <stdlib.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static int with_traceback(lua_State *lua) {
    const char *message = lua_tostring(lua, 1);
    luaL_traceback(lua, lua, message != NULL ? message : "an error that is no string", 1);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: lua_main SCRIPT [ARG...]\n");
        return 2;
    }
    lua_State *lua = luaL_newstate();
    if (lua == NULL) {
        fprintf(stderr, "lua: out of memory\n");
        return 1;
    }
    luaL_openlibs(lua);

    lua_createtable(lua, argc - 2, 2);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(lua, argv[i]);
        lua_rawseti(lua, -2, i - 1);
    }
    lua_setglobal(lua, "arg");

    lua_pushcfunction(lua, with_traceback);
    int status = luaL_loadfile(lua, argv[1]);
    if (status == LUA_OK) {
        for (int i = 2; i < argc; i++) lua_pushstring(lua, argv[i]);
        status = lua_pcall(lua, argc - 2, 0, 1);
    }
    if (status != LUA_OK) fprintf(stderr, "lua: %s\n", lua_tostring(lua, -1));
    lua_close(lua);
    return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
