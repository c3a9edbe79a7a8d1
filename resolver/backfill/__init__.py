"""A backfill: very many affiliations, from files to files, on as many machines as there are.

::

    pin     what answers: models, index, overrides and policy, in a folder that all nodes read
    plan    files of mentions → their distinct texts, in parts
    run     each part → one file of outcomes, by workers that Ray starts
    join    mentions and outcomes → files of mentions with their organisations
    load    outcomes → Postgres, as answers with their history

A run is a folder. What is in it says what is done: a part whose file of outcomes is there and whole
is done, any other is not, whatever a program reports. So each step can be killed and repeated.
"""
