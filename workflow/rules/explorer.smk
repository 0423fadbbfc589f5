rule explore_items:
    input:
        FIRST_PLANS,
        explored_tables,
    output:
        report(
            layout.EXPLORER,
            caption="../report/explorer.rst",
            category="Items",
        ),
    params:
        config=CONFIG.plain(),
        code=versions.EXPLORER,
    log:
        "logs/explore_items/explore_items.log",
    localrule: True
    message:
        "Writing the page of all items"
    script:
        "../scripts/explore_items.py"
