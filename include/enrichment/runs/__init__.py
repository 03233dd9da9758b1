"""What a run is: the day it is for, its options, its passes. Imports only the errors."""
