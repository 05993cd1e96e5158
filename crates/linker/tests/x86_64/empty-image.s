// Nothing at all is an image too.
//# ExpectDynamicCount: 0
//# ExpectNoSection: .data
        .text
