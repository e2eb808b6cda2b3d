"""Disposable Debian hosts: a real systemd, journald, nftables and apt, booted in a fraction of a second.

::

     release   build/hosts/bookworm, build/hosts/trixie: debootstrap and the packages, once
        |
     host      an overlay of it, a network namespace and cgroups of its own, systemd-nspawn
        |
     bridge    in a namespace of its own; the machine's network is never touched
        |
     client    a namespace with an address in every zone

Everything is held by a process that dies with the tests: mounts live in the mount namespace of ``systemd-nspawn``, networks in
that of a sleeping process. What a killed run can leave is empty cgroups and a folder; the next run takes them away.
``docs/hosts.md`` tells how to work with them by hand.
"""
