using DemoModel;

return CommandLine.Run(args);
