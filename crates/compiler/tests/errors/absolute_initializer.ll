@table = constant [2 x { i32, ptr }] [
  { i32, ptr } { i32 1, ptr null },
  { i32, ptr } { i32 2, ptr getelementptr (i8, ptr inttoptr (i64 65536 to ptr), i64 8) }
]
;# ExpectError: absolute_initializer.ll: `table`: @table = constant [2 x { i32, ptr }]
