// Submits the form for the person. It contains the result from waitcall's page, which the server checks.
document.getElementById("go").requestSubmit();
