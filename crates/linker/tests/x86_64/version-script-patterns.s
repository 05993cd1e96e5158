// Whole names say more than patterns; classes of bytes and names of C++ are patterns too; versions make no difference.
//# VersionScript: { global: api_[!x]*; extern "C++" { ns::*; }; versioned; local: api_b; *; };
//# ExpectSymbol: api_a
//# ExpectSymbol: _ZN2ns1fEi
//# ExpectSymbol: versioned@V1
//# ExpectDynamicCount: 0
//# ExpectNoSymbol: api_b
//# ExpectNoSymbol: api_x
//# ExpectNoSymbol: _ZN5other1fEi
        .globl api_a, api_b, api_x, _ZN2ns1fEi, _ZN5other1fEi, old
api_a:
api_b:
api_x:
_ZN2ns1fEi:
_ZN5other1fEi:
old:    ret
        .symver old, versioned@V1
