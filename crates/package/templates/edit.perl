#!/usr/bin/perl
# @summary@.
#
# virt-hooks runs this at @point@, with the domain XML in the file $_hook_domxml.
# Exit code 0: fine; 1: failed, the next hook runs; 2: failed, no further hook runs.
use strict;
use warnings;

sub fail {
    my ($code, $message) = @_;
    print STDERR "@name@: $message\n";
    exit $code;
}

my $title = $ENV{'@property@'} // '';
exit 0 if $title eq '';

my $payload = $ENV{'_hook_domxml'} // fail(2, '_hook_domxml is not set');
open(my $in, '<:raw', $payload) or fail(2, "read $payload: $!");
my $xml = do { local $/; <$in> };
close($in);

# A VM that has a title keeps it.
exit 0 if $xml =~ /<title>/;

$title =~ s/&/&amp;/g;
$title =~ s/</&lt;/g;
$title =~ s/>/&gt;/g;
$xml =~ s{</name>}{</name>\n  <title>$title</title>}
    or fail(1, 'the domain has no name, after which a title could stand');

open(my $out, '>:raw', $payload) or fail(2, "write $payload: $!");
print {$out} $xml or fail(2, "write $payload: $!");
close($out) or fail(2, "write $payload: $!");
