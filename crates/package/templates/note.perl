#!/usr/bin/perl
# @summary@.
#
# virt-hooks runs this at @point@.
# Exit code 0: fine; 1: failed, the next hook runs; 2: failed, no further hook runs.
use strict;
use warnings;
%if property

my $note = $ENV{'@property@'} // '';
exit 0 if $note eq '';

print STDERR "@name@: $note\n";
%else

my $point = $ENV{'_hook_point'} // '@point@';
print STDERR "@name@: called at $point\n";
%end
