// As much of Microsoft.Extensions.Hosting and .Logging as examples/csharp/HostedService.cs needs to be compiled here,
// where there is no package of them.
using System.Threading;
using System.Threading.Tasks;

namespace Microsoft.Extensions.Hosting
{
    public interface IHostedService
    {
        Task StartAsync(CancellationToken cancellationToken);

        Task StopAsync(CancellationToken cancellationToken);
    }

    public interface IHostApplicationLifetime
    {
        CancellationToken ApplicationStarted { get; }

        CancellationToken ApplicationStopping { get; }

        CancellationToken ApplicationStopped { get; }

        void StopApplication();
    }
}

namespace Microsoft.Extensions.Logging
{
    public interface ILogger
    {
        void Log(string level, string text);
    }

    public interface ILogger<out TCategoryName> : ILogger
    {
    }

    public static class LoggerExtensions
    {
        public static void LogInformation(this ILogger logger, string message, params object[] arguments) =>
            logger.Log("info", string.Format(message, arguments));

        public static void LogWarning(this ILogger logger, string message, params object[] arguments) =>
            logger.Log("warning", string.Format(message, arguments));
    }
}
